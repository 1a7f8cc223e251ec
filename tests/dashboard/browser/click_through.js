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
  for (const path of ["/", "/running", "/waiting", "/scheduled", "/failed", "/finished",
    "/periodic", "/threads", "/processes", job.slice(new URL(base).pathname.length)]) {
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
  await context.close();
};

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox"],
  });
  try {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 960, 390]) {
        await check(browser, { colorScheme, viewport: { width, height: 800 } });
      }
    }
    await withoutScripts(browser);
    await steer(browser);
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
