// Keys, users, the audit log, the caller's own page; and who sees what.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accessible, call, email, fillLogin, logIn, on, picture, until, url } from "./lib.mjs";

let token, tenant;
before(async () => {
  token = await logIn();
  tenant = (await call("POST", "/tenants", { name: "Acme" }, { token })).id;
});
const line = (page, text) => page.locator(".outcome", { hasText: text });

test("a key is made, shown once, used and revoked", async () => {
  let key;
  await on(`/tenants/${tenant}/keys`, { token }, async (page) => {
    await page.getByRole("heading", { name: "No keys yet" }).waitFor();
    await page.getByRole("button", { name: "New key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("shop backend");
    assert.equal(await dialog.getByLabel("provision").count(), 0, "keys of tenants make no tenants");
    await accessible(page, "a key to be");
    await picture(page, "key-new");
    await dialog.getByRole("button", { name: "Create key" }).click();
    key = await page.locator(".secret code").textContent();
    assert.match(key, /^lk_/);
    await accessible(page, "a key");
    await picture(page, "key");
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByText("1 key, 1 never used.").waitFor();
    await line(page, "The key shop backend is made, for publish, read.").waitFor();
    await call("POST", "/messages", { payload: 1 }, { token: key, tenant });
    await page.getByText("used", { exact: true }).waitFor({ timeout: 90_000 });
    await accessible(page, "keys");
    await picture(page, "keys");
    await page.getByRole("button", { name: "Revoke shop backend" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke 1 key" }).click();
    await line(page, "The key shop backend is revoked").waitFor();
    await page.getByRole("heading", { name: "No keys yet" }).waitFor();
  });
  await until(async () => (await fetch(`${url}/api/tenants`, { headers: { Authorization: `Bearer ${key}` } })).status === 401, "the key is refused", 10_000);
});

test("users are made, limited, disabled and deleted; each sees its own", async () => {
  const secret = "gravel mumble tax orbit";
  await on("/users", { token }, async (page) => {
    await page.getByText("1 user, 1 admin.").waitFor();
    await page.getByRole("button", { name: "New user" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Email").fill("ada@example.com");
    await dialog.getByLabel("Name", { exact: true }).fill("Ada");
    await dialog.getByLabel("Password").fill("too short");
    await accessible(page, "a user to be");
    await dialog.getByRole("button", { name: "Create user" }).click();
    await dialog.locator(".field .wrong").waitFor();
    await dialog.getByLabel("Password").fill(secret);
    await dialog.getByRole("button", { name: "Create user" }).click();
    await line(page, "ada@example.com is made, as member.").waitFor();
    await page.getByText("2 users, 1 admin.").waitFor();
    await accessible(page, "users");
    await picture(page, "users");
    await page.getByRole("link", { name: /ada@example.com/ }).click();
    await dialog.getByText("Limits of its tenants").click();
    await dialog.getByLabel("Tenants", { exact: true }).fill("1");
    await accessible(page, "a user");
    await picture(page, "user");
    await dialog.getByRole("button", { name: "Save" }).click();
    await line(page, "ada@example.com is changed: limits.").waitFor();
  });
  const hers = await logIn("ada@example.com", secret);
  const own = (await call("POST", "/tenants", { name: "Hers" }, { token: hers })).id;
  await on(`/tenants/${tenant}/endpoints`, { token: hers }, async (page) => {
    await page.getByText("There is no such tenant").first().waitFor();
    assert.equal(await page.getByRole("link", { name: "Users" }).count(), 0);
    assert.equal(await page.getByRole("link", { name: "Fleet" }).count(), 0);
    await page.goto(`${url}/console/users`);
    await page.getByText("Only admins see the users.").waitFor();
    await page.goto(`${url}/console/audit`);
    await page.getByText(/created the tenant/).first().waitFor();
    assert.equal(await page.getByText("Acme").count(), 0, "what was done to others' tenants is not shown");
  });
  await on("/me", { token: hers }, async (page) => {
    await page.getByText("Ada, member, with 1 tenant and").waitFor();
    await page.getByRole("progressbar", { name: "Tenants: 1 of 1" }).waitFor();
    await accessible(page, "me");
    await picture(page, "me");
    await page.getByLabel("Current password").fill("wrong");
    await page.getByLabel("New password").fill("plum otter 91 lantern sky");
    await page.getByRole("button", { name: "Change password" }).click();
    await page.locator(".problem", { hasText: "wrong_password" }).waitFor();
    assert.equal(await page.getByLabel("New password").inputValue(), "plum otter 91 lantern sky");
    await page.getByLabel("Current password").fill(secret);
    await page.getByRole("button", { name: "Change password" }).click();
    await line(page, "The password is changed.").waitFor();
    await page.reload();
    await page.getByText("Ada, member").waitFor(); // the session goes on here, and nowhere else
    await page.getByRole("button", { name: "Log out everywhere" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await page.waitForURL(/\/login$/);
    await fillLogin(page, "plum otter 91 lantern sky", "ada@example.com");
    await page.getByRole("heading", { level: 1 }).first().waitFor();
  });
  await on("/users", { token, width: 390, height: 844 }, async (page) => {
    await page.getByRole("link", { name: /ada@example.com/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Disable" }).click();
    await dialog.getByRole("button", { name: "Disable 1 user" }).click();
    await line(page, "ada@example.com is disabled").waitFor();
    await accessible(page, "narrow");
    await picture(page, "users-narrow");
    await dialog.getByRole("button", { name: "Enable" }).click();
    await line(page, "may log in again").waitFor();
    await dialog.getByRole("button", { name: "Delete" }).click();
    assert.ok(await dialog.getByRole("button", { name: "Delete 1 user" }).isDisabled());
    await dialog.getByRole("textbox", { name: "Name" }).fill("ada@example.com");
    await dialog.getByRole("button", { name: "Delete 1 user" }).click();
    await line(page, "ada@example.com is deleted").waitFor();
  });
  assert.equal((await call("GET", `/tenants/${own}`, undefined, { token })).name, "Hers", "the tenants of a user stay");
});

test("the audit log shows who did what, before and now", async () => {
  await call("PATCH", `/tenants/${tenant}`, { description: "Orders of <b>Acme</b>" }, { token });
  await call("PUT", `/tenants/${tenant}/config/concurrency`, { workers: 7 }, { token });
  await on("/audit", { token }, async (page) => {
    const first = page.locator(".entries > li").first();
    await first.getByText("changed the number of workers").waitFor();
    await first.getByText(email).waitFor();
    assert.match(await first.locator(".diff").textContent(), /workers.*→.*7/s);
    assert.match(await page.locator(".entries > li").nth(1).locator(".diff").textContent(), /Orders of <b>Acme<\/b>/);
    await accessible(page, "the audit log");
    await picture(page, "audit");
    await page.getByRole("combobox", { name: /^What/ }).selectOption("tenant.");
    await page.waitForURL(/action=tenant\./);
    await until(async () => !(await page.locator(".entries").textContent()).includes("user."), "only tenants");
    await call("PATCH", `/tenants/${tenant}`, { description: "again" }, { token });
    await page.getByRole("button", { name: "There is more since" }).click();
    await first.locator(".diff", { hasText: "again" }).waitFor();
    await page.getByRole("combobox", { name: /^What/ }).selectOption("login.failed");
    await page.getByText("Somebody failed to log in").first().waitFor().catch(() => page.getByRole("heading", { name: "Nothing is on record" }).waitFor());
  });
  await on("/audit", { token, scheme: "dark", width: 390, height: 844 }, async (page) => {
    await page.locator(".entries > li").first().waitFor();
    await accessible(page, "narrow and dark");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no scrolling sideways");
    await picture(page, "audit-narrow-dark");
  });
});
