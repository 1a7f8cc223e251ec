// Clicks through the dashboard at argv[2] in a real browser; any complaint ends with status 1.
// Needs playwright-core and axe-core, found through NODE_PATH, and CHROMIUM, a browser's path.
"use strict";
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const base = process.argv[2];
const complaints = [];

const listen = (page) => {
  page.on("console", (message) => complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("requestfailed", (request) => {
    const why = request.failure().errorText;
    // A look that is under way when the page is left is dropped.
    if (why !== "net::ERR_ABORTED") complaints.push(`${why}: ${request.url()}`);
  });
  page.on("dialog", (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
};

const seen = async (page, text) => {
  await page.getByText(text, { exact: false }).first().waitFor({ timeout: 8000 });
};

const press = async (page, name) => {
  await page.getByRole("button", { name }).first().click();
  await page.waitForLoadState();
};

const accessible = async (page) => {
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, nodes }) => ({ id, impact, html: nodes[0].html }));
  });
  for (const { id, impact, html } of found) {
    const text = `axe ${impact}: ${id} on ${page.url()}: ${html.slice(0, 200)}`;
    if (impact === "serious" || impact === "critical") complaints.push(text);
    else console.log(text);
  }
};

const check = async (browser, options) => {
  // The policy of the page keeps out everything foreign, axe included; nothing else is let in.
  const context = await browser.newContext({ ...options, bypassCSP: true });
  await context.addInitScript({ content: axe.source });
  const page = await context.newPage();
  listen(page);
  await page.goto(`${base}/running`);
  const job = await page.locator("tbody th a").first().getAttribute("href");
  const below = (href) => href.slice(new URL(base).pathname.length);
  await page.goto(`${base}/finished?q=declined`);
  const failed = await page.locator("tbody th a").first().getAttribute("href");
  for (const path of ["/", "/?sort=failed", "/running", "/waiting", "/scheduled", "/failed",
    "/failed?q=declined&sort=ran", "/finished", "/errors", "/class?job=__main__.Mail",
    "/class?job=__main__.Charge", "/confirm/failed/retry?q=declined", "/periodic", "/threads",
    "/processes", below(job), below(failed)]) {
    await page.goto(base + path);
    await page.locator("h1").waitFor();
    await accessible(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (wide) complaints.push(`scrolls sideways: ${path} at ${options.viewport.width}`);
  }
  await context.close();
};

const steer = async (browser) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  listen(page);
  await page.goto(`${base}/failed`);
  await seen(page, "ValueError: no such user");
  await press(page, /^Retry Mail/);
  await seen(page, "Enqueued again, as a new job.");
  assert.equal(new URL(page.url()).search, "", "the note is out of the address");
  await seen(page, "retried as");
  await press(page, /^Discard Hostile/);
  await seen(page, "Removed from the list.");

  await page.goto(`${base}/waiting`);
  const rows = await page.locator("tbody tr").count();
  assert.equal(rows, 2);
  await press(page, /^Cancel LongReport/);
  await seen(page, "Cancelled: the job will not start.");
  assert.equal(await page.locator("tbody tr").count(), 1);

  await page.goto(`${base}/scheduled`);
  await press(page, /^Run now Mail/);
  await seen(page, "The job is due now.");

  await page.goto(base);
  await press(page, "Pause LongReport");
  await seen(page, "Paused: jobs are accepted and wait.");
  await page.getByRole("button", { name: "Resume LongReport" }).waitFor();

  // What happens elsewhere shows up by itself: stopped in one tab, gone from the other.
  await page.goto(`${base}/running`);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.locator("summary").first().click();
  const other = await context.newPage();
  listen(other);
  await other.goto(`${base}/running`);
  await page.waitForResponse((response) => response.url().endsWith("/running"));
  await page.waitForFunction(() => document.querySelector("details").open);
  await press(other, /^Stop LongReport/);
  await seen(page, "No job is running.");
  await other.close();
  await page.bringToFront();

  // A look of the page leaves a long text where it was scrolled to.
  await page.setViewportSize({ width: 800, height: 200 });
  await page.goto(`${base}/threads`);
  const scroll = () => page.evaluate(() => document.querySelector("pre").scrollTop);
  await page.evaluate(() => {
    const text = document.querySelector("pre");
    text.dataset.old = "yes";
    text.scrollTop = 40;
  });
  assert.equal(await scroll(), 40);
  await page.waitForFunction(() => !document.querySelector("pre").dataset.old);
  assert.equal(await scroll(), 40);
  await page.setViewportSize({ width: 1280, height: 720 });

  // By keyboard: the first stop is the way past the menu.
  await page.goto(base);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  await press(page, "Resume LongReport");
  await seen(page, "Resumed.");

  const live = page.locator("#live");
  await live.click();
  assert.equal(await live.getAttribute("aria-pressed"), "false");
  await context.close();
};

// What the other process has: found, searched, retried one by one and all together, held, quieted.
const everywhere = async (browser) => {
  const context = await browser.newContext({ timezoneId: "Europe/Berlin", bypassCSP: true });
  await context.addInitScript({ content: axe.source });
  const page = await context.newPage();
  listen(page);
  await page.goto(base);
  await seen(page, "2 processes");
  await page.getByRole("link", { name: "Charge", exact: true }).click();
  await seen(page, "Failed last");
  await seen(page, "order 4 was declined");
  await press(page, "Pause Charge");
  await seen(page, "in 2 of 2 processes.");
  await press(page, "Resume Charge");

  await page.goto(`${base}/failed`);
  await page.getByLabel("Search").fill("declined");
  await press(page, "Filter");
  assert.equal(await page.locator("tbody tr").count(), 5);
  await page.locator("tbody th a").first().click();
  await seen(page, "'line 39'");
  const shown = await page.locator("time").first().textContent();
  assert.match(shown, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/, "by the browser's clock");
  await press(page, /^Retry Charge/);
  await seen(page, "Enqueued again, as a new job.");

  await page.goto(`${base}/errors`);
  await seen(page, "ValueError: order");
  await page.getByRole("link", { name: /^Discard all Charge/ }).click();
  await seen(page, "Discard 6 failed jobs in 2 processes?");
  await press(page, /^Discard 6 jobs/);
  await seen(page, "Removed from the list: 6.");

  await page.goto(`${base}/scheduled?job=__main__.Charge`);
  await press(page, /^Run now Charge/);
  await seen(page, "The job is due now.");

  await page.goto(`${base}/processes`);
  const quiet = page.getByRole("button", { name: /^Quiet pid/ });
  assert.equal(await quiet.count(), 2);
  await page.locator("tr", { hasNotText: "this one" }).getByRole("button", { name: /^Quiet/ }).click();
  await seen(page, "Quiet: the process refuses new jobs");
  await press(page, /^Resume pid/);
  await seen(page, "The process accepts new jobs again.");

  await page.getByLabel("Processes to show").selectOption({ index: 1 });
  await press(page, "Show");
  await seen(page, "· since");

  await page.goto(`${base}/periodic`);
  await press(page, "Run now Nightly");
  await seen(page, "Enqueued, beside its schedule.");

  // Colours by choice, whatever the system has.
  await page.getByRole("link", { name: "dark", exact: true }).click();
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await ground(), "rgb(16, 19, 23)");
  await accessible(page);
  await page.getByRole("link", { name: "light", exact: true }).click();
  assert.equal(await ground(), "rgb(246, 247, 249)");
  await context.close();
};

const withoutScripts = async (browser) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  listen(page);
  await page.goto(base);
  assert.equal(await page.locator("#live").isVisible(), false);
  await press(page, "Pause Mail");
  await seen(page, "Paused: jobs are accepted and wait.");
  await press(page, "Resume Mail");
  await seen(page, "Resumed.");
  await page.getByRole("link", { name: "Busy", exact: true }).click();
  assert.equal(await page.locator("tbody th a").first().textContent(), "LongReport");
  await page.goto(`${base}/failed?q=script`);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.goto(`${base}/confirm/failed/retry?q=script`);
  await press(page, /^Retry 1 job/);
  await seen(page, "Enqueued again, as new jobs: 1.");
  await page.goto(`${base}/failed?q=script`);
  await press(page, /^Discard Hostile/);
  await context.close();
};

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox"],
  });
  try {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of colorScheme === "light" ? [1280, 960, 390] : [1280, 390]) {
        await check(browser, { colorScheme, viewport: { width, height: 800 } });
      }
    }
    await withoutScripts(browser);
    await steer(browser);
    await everywhere(browser);
  } finally {
    await browser.close();
  }
  for (const complaint of complaints) console.error(complaint);
  process.exitCode = complaints.length ? 1 : 0;
})().catch((error) => {
  for (const complaint of complaints) console.error(complaint);
  console.error(error);
  process.exitCode = 1;
});
