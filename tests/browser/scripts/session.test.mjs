// Who is logged in, and what becomes of a page when that ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, call, control, fillLogin, logIn, on, picture, url } from "./lib.mjs";

for (const scheme of ["light", "dark"]) {
  test(`log in, ${scheme}`, async () => {
    await on("/tenants", { scheme }, async (page) => {
      await page.getByRole("heading", { name: "Log in to Lanekeeper" }).waitFor();
      assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "email", "the first field has the focus");
      await accessible(page, "the login");
      await picture(page, `login-${scheme}`);
      await fillLogin(page, "not the password");
      const alert = page.getByRole("alert");
      await alert.waitFor();
      assert.match(await alert.innerText(), /invalid_credentials/);
      assert.equal(await page.getByLabel("Email").inputValue(), "root@example.com", "what was typed stays");
      await accessible(page, "a login that failed");
      await fillLogin(page);
      await page.getByRole("heading", { name: "Tenants", exact: true }).waitFor();
      assert.equal(new URL(page.url()).pathname, "/console/tenants", "where one wanted to go");
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByRole("heading", { name: "Log in to Lanekeeper" }).waitFor();
      assert.equal(new URL(page.url()).pathname, "/console/login");
    });
  });
}

test("a session that ends in the middle of a form loses nothing", async () => {
  const token = await logIn();
  await on("/tenants?create=1", { token }, async (page) => {
    await page.getByLabel("Name", { exact: true }).fill("Typed before the end");
    await page.getByLabel("Description").fill("and kept");
    await call("POST", "/logout", undefined, { token });
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Your session has ended" });
    await dialog.waitFor();
    assert.equal(await dialog.getByLabel("Email").inputValue(), "root@example.com");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "password", "what is missing has the focus");
    await accessible(page, "a session that ended");
    await picture(page, "session-ended");
    await dialog.getByLabel("Password").fill("wrong at first");
    await dialog.getByRole("button", { name: "Log in" }).click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("Password").fill(process.env.LANEKEEPER_PASSWORD);
    await dialog.getByRole("button", { name: "Log in" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("Typed before the end is ready").waitFor();
  });
  const made = (await call("GET", "/tenants?limit=1000", undefined, { token: await logIn() })).data.filter((t) => t.name === "Typed before the end");
  assert.equal(made.length, 1, "made once");
  assert.equal(made[0].description, "and kept");
});

test("a token that is no longer one leads to the login", async () => {
  await on("/", { token: "a.b.c" }, async (page) => {
    await page.getByRole("heading", { name: "Log in to Lanekeeper" }).waitFor();
    assert.equal(await page.evaluate(() => JSON.parse(sessionStorage.getItem("lanekeeper.session")).token), "");
  });
});

test("the token of a link leaves the address", async () => {
  const token = await logIn();
  await on(`/#portal=${encodeURIComponent(token)}`, {}, async (page) => {
    await page.locator("main").waitFor();
    assert.equal(new URL(page.url()).hash, "");
    assert.equal(await page.locator("nav[aria-label=Console]").count(), 0, "no rail around a portal");
  });
});

test("nobody frames the console", async () => {
  await on("/login", { expectErrors: true }, async (page) => {
    await page.goto(`${control}/frame`);
    await page.waitForTimeout(300);
    const shown = await page.frames()[1]?.evaluate(() => document.body.innerText).catch(() => "");
    assert.ok(!/Lanekeeper/.test(shown || ""), `framed: ${shown}`);
  });
});

test("paths that climb find nothing", async () => {
  const { request } = await import("node:http");
  const raw = (path) => new Promise((resolve, reject) => { // fetch would clean the path
    const { hostname, port } = new URL(url);
    request({ hostname, port, path }, (answer) => {
      let body = "";
      answer.on("data", (part) => { body += part; });
      answer.on("end", () => resolve({ status: answer.statusCode, type: answer.headers["content-type"], body }));
    }).on("error", reject).end();
  });
  for (const path of ["/console/../", "/console/../etc/passwd", "/console/%2e%2e/%2e%2e/etc/passwd", "/console/assets/x/../../console.go", "/console/assets/x/%2e%2e/index.html", "/console/..%2f..%2fetc/passwd"]) {
    const answer = await raw(path);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.type, "application/problem+json", path);
    assert.equal(JSON.parse(answer.body).code, "route_not_found", path);
  }
  const root = await fetch(`${url}/`, { redirect: "manual" });
  assert.equal(root.status, 302);
  assert.equal(root.headers.get("Location"), "/console/");
});
