// Looks again every few seconds, without a flicker and without losing one's place.
"use strict";
(() => {
  // On a narrow screen the menu scrolls, and the page one is on may be out of sight.
  // Not scrollIntoView: Chromium would go on from there at the first Tab, past the skip link.
  const current = document.querySelector("#menu [aria-current]");
  const list = current && current.closest("ul");
  if (list) list.scrollLeft = current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;

  // Moments by the browser's own clock; without scripts they are in UTC, as the title still says.
  const two = (number) => String(number).padStart(2, "0");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  const clocks = (root) => {
    for (const element of root.querySelectorAll("time[datetime]")) {
      if (!element.textContent.endsWith(" UTC")) continue;
      const when = new Date(element.dateTime);
      if (Number.isNaN(when.getTime())) continue;
      element.title = `${element.textContent}, here ${zone}`;
      element.textContent =
        `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ` +
        `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}` +
        (element.closest(".line") ? " here" : "");
    }
  };
  clocks(document);

  const seconds = Number(document.body.dataset.refresh);
  const button = document.getElementById("live");
  if (!seconds || !button) return;

  // A note about the last action is said once: neither reload nor bookmark repeats it.
  const address = new URL(location.href);
  if (address.searchParams.has("note")) {
    for (const name of ["note", "in", "n", "left"]) address.searchParams.delete(name);
    history.replaceState(null, "", address);
  }

  let live = sessionStorage.getItem("live") !== "no";
  const show = () => {
    button.setAttribute("aria-pressed", String(live));
    button.textContent = live ? "Live" : "Paused";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    live = !live;
    sessionStorage.setItem("live", live ? "yes" : "no");
    show();
    if (live) look();
  });
  show();

  // A button that is replaced between press and release would miss its click.
  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(end, () => { setTimeout(() => { pressed = false; }); });
  }

  const main = () => document.getElementById("main");
  const busy = () => {
    const active = document.activeElement;
    const editing = active && active.matches("input, select") && main().contains(active);
    const selection = getSelection();
    return pressed || editing || (selection && !selection.isCollapsed);
  };
  // What tells an element from its neighbours, the same before and after a look.
  const name = (element) =>
    element.dataset.key ||
    [element.tagName, element.getAttribute("href"), element.getAttribute("aria-label"),
      element.textContent].join("|");

  // Long texts that scroll: by job in a list, by their place on the page of one job.
  const texts = (root) => [...root.querySelectorAll("pre")].map(
    (text, index) => [text.parentElement.dataset.key || index, text]);

  const replace = (next) => {
    const now = main();
    const scrolled = new Map(
      texts(now).map(([key, text]) => [key, [text.scrollLeft, text.scrollTop]]));
    const open = new Set(
      [...now.querySelectorAll("details[open]")].map((details) => details.dataset.key));
    const active = document.activeElement;
    const focused = now.contains(active) && active !== now ? name(active) : null;
    const note = now.querySelector(".note");
    if (note && !next.querySelector(".note")) next.prepend(note);
    next.querySelectorAll("details").forEach((details) => {
      details.open = open.has(details.dataset.key);
    });
    now.replaceChildren(...next.childNodes);
    for (const [key, text] of texts(now)) {
      if (scrolled.has(key)) [text.scrollLeft, text.scrollTop] = scrolled.get(key);
    }
    if (focused) {
      const same = [...now.querySelectorAll("a, button, summary, pre")]
        .find((element) => name(element) === focused);
      if (same) same.focus({ preventScroll: true });
    }
  };

  let pending = false;
  const look = async () => {
    if (!live || pending || document.hidden || busy()) return;
    pending = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok && live && !busy()) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        clocks(page);
        replace(page.getElementById("main"));
        document.getElementById("menu").replaceChildren(
          ...page.getElementById("menu").childNodes);
      }
      document.body.classList.toggle("stale", !answer.ok);
    } catch {
      document.body.classList.add("stale");
    } finally {
      pending = false;
    }
  };
  setInterval(look, seconds * 1000);
  document.addEventListener("visibilitychange", look);
})();
