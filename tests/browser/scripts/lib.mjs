// What scripts have in common: a browser, who is logged in, and what must never happen.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const url = process.env.LANEKEEPER_URL;
export const control = process.env.LANEKEEPER_CONTROL;
export const email = process.env.LANEKEEPER_EMAIL;
export const password = process.env.LANEKEEPER_PASSWORD;
const pictures = process.env.PICTURES;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @type {import("playwright-core").Browser} */
let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"] });
});
after(async () => { await browser?.close(); });

/** A page in a window of its own. close fails where the policy reported anything, or a
 * module failed. */
export async function open(path = "/", { scheme = "light", width = 1280, height = 800, token = "", expectErrors = false, ...more } = {}) {
  // The policy is for pages, and not for what tests put into them: axe.
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height }, reducedMotion: "reduce", locale: "en-GB", timezoneId: "Europe/Berlin", ...more });
  await context.addInitScript(() => {
    window.reports = [];
    document.addEventListener("securitypolicyviolation", (e) => window.reports.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
  });
  if (token) await context.addInitScript((t) => { if (!sessionStorage.getItem("lanekeeper.session")) sessionStorage.setItem("lanekeeper.session", JSON.stringify({ token: t })); }, token);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) errors.push(message.text());
  });
  await page.goto(`${url}/console${path}`);
  return {
    page, errors,
    async close() {
      const reports = await page.evaluate(() => window.reports);
      await context.close();
      assert.deepEqual(reports, [], "the policy reported");
      if (!expectErrors) assert.deepEqual(errors, [], "the page failed");
    },
  };
}

/** Opens a page, uses it, and closes it. */
export async function on(path, options, use) {
  const { page, close, errors } = await open(path, options);
  try {
    await use(page, errors);
  } catch (error) {
    await picture(page, `failed-${path.replace(/\W+/g, "-")}`).catch(() => {});
    await page.context().close();
    throw error;
  }
  await close();
}

/** Fails where axe finds anything. */
export async function accessible(page, what = "") {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Page.enable");
  const { frameTree } = await cdp.send("Page.getFrameTree");
  // A world of its own, which the policy of the page does not bind.
  const { executionContextId: contextId } = await cdp.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  await cdp.send("Runtime.evaluate", { contextId, expression: `${axe};0` });
  const { result, exceptionDetails } = await cdp.send("Runtime.evaluate", {
    contextId, awaitPromise: true, returnByValue: true,
    expression: `axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
      .then((r) => r.violations.map((v) => v.id + ": " + v.help + "\\n" + v.nodes.slice(0, 4).map((n) => "  " + n.html + " " + n.failureSummary).join("\\n")))`,
  });
  await cdp.detach();
  assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
  assert.deepEqual(result.value, [], `axe${what && ` on ${what}`}:\n${result.value.join("\n")}`);
}

/** Takes a picture, for people to look at. */
export async function picture(page, name) {
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png`, animations: "disabled", caret: "hide" });
}

/** Calls the API; the token is the admin's unless another is given. */
export async function call(method, path, body, { token = "", tenant = "", headers = {} } = {}) {
  const answer = await fetch(`${url}/api${path}`, {
    method, body: body === undefined ? undefined : JSON.stringify(body),
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(tenant ? { "X-Tenant-ID": tenant } : {}), ...headers },
  });
  const text = await answer.text();
  const data = text === "" ? null : JSON.parse(text);
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return data;
}

/** A token of the admin, or of another user. */
export async function logIn(as = email, secret = password) {
  return (await call("POST", "/login", { email: as, password: secret })).token;
}

/** Has the service stopped or started. */
export async function order(what) {
  const answer = await fetch(`${control}/order/${what}`, { method: "POST" });
  assert.ok(answer.ok);
}

/** Fills in the login and waits for the page behind it. */
export async function fillLogin(page, secret = password, as = email) {
  await page.getByLabel("Email").fill(as);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** Waits until fn returns something true. */
export async function until(fn, what, patience = 15000) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await fn();
    if (found) return found;
    assert.ok(Date.now() < end, `in ${patience} ms: ${what}`);
    await new Promise((done) => { setTimeout(done, 50); });
  }
}
