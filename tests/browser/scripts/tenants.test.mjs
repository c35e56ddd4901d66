// The list of tenants, and what can be done from it.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accessible, call, logIn, on, picture, until } from "./lib.mjs";

const emoji = "🦊".repeat(199);
const markup = `<img src=x onerror="document.title='run'"> & <script>alert(1)</script>`;
const turned = "\u202egnp.exe\u202c";
let token;
before(async () => {
  token = await logIn();
  for (const name of ["Acme", "Beta", "Gamma"]) await call("POST", "/tenants", { name, external_id: `id-${name}` }, { token });
});

/** The names in the table, in order. */
const names = (page) => page.locator(".row-link").allInnerTexts().then((all) => all.map((text) => text.split(" id-")[0].trim()));

test("create a tenant", async () => {
  await on("/tenants", { token }, async (page) => {
    await page.getByRole("button", { name: "Create a tenant" }).click();
    assert.equal(new URL(page.url()).searchParams.get("create"), "1", "the address shows the same");
    await accessible(page, "the form of a tenant");
    await picture(page, "create-tenant");
    await page.getByLabel("Name", { exact: true }).fill("Delta");
    await page.getByLabel("Your id").fill("id-Acme");
    await page.getByLabel("Workers").fill("7");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("external_id_taken").waitFor();
    assert.equal(await page.getByLabel("Workers").inputValue(), "7", "what was typed stays");
    await accessible(page, "a form with a problem");
    await picture(page, "create-tenant-taken");
    await page.getByLabel("Your id").fill("id-Delta");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("Delta is ready, with 7 workers").waitFor();
  });
});

test("search, filter and sort are in the address", async () => {
  await on("/tenants?sort=name", { token }, async (page) => {
    await page.getByRole("link", { name: "Acme" }).waitFor();
    const search = page.getByRole("searchbox", { name: "Search tenants by name or id" });
    await search.fill("gAM");
    await until(async () => (await names(page)).join() === "Gamma", "only Gamma is found");
    assert.equal(new URL(page.url()).searchParams.get("q"), "gAM");
    await page.reload();
    await until(async () => (await names(page)).join() === "Gamma", "a link shows the same");
    assert.equal(await search.inputValue(), "gAM");
    await search.fill("nobody is called so");
    await page.getByRole("heading", { name: "No tenant is like that" }).waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByRole("link", { name: "Beta" }).waitFor();
    await page.getByRole("button", { name: "Waiting" }).click();
    assert.equal(new URL(page.url()).searchParams.get("sort"), "backlog");
    assert.equal(await page.getByRole("columnheader", { name: "Waiting" }).getAttribute("aria-sort"), "descending");
  });
});

test("stop and start a consumer, and take it back", async () => {
  await on("/tenants", { token }, async (page) => {
    const row = page.getByRole("row", { name: /Acme/ });
    await row.waitFor();
    await page.getByRole("button", { name: "Actions for Acme" }).click();
    await page.getByRole("menuitem", { name: "Stop its consumer" }).click();
    await page.getByText("The consumer of Acme is stopped").waitFor();
    await row.getByText("Stopped").waitFor();
    await page.getByRole("button", { name: "Start it again" }).click();
    await row.getByText("Flows").waitFor();
  });
});

test("delete a tenant, with its name typed and what goes with it", async () => {
  const tenant = await call("POST", "/tenants", { name: "To be deleted" }, { token });
  for (let i = 0; i < 3; i++) await call("POST", "/messages", { payload: i }, { token, tenant: tenant.id });
  await until(async () => (await call("GET", "/messages", undefined, { token, tenant: tenant.id })).data.length === 3, "all is stored");
  await on("/tenants", { token }, async (page) => {
    await page.getByRole("button", { name: "Actions for To be deleted" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete this tenant?" });
    await dialog.getByText("With it go 3 stored messages").waitFor();
    await accessible(page, "a deletion");
    await picture(page, "delete-tenant");
    const button = dialog.getByRole("button", { name: "Delete it and 3 messages" });
    assert.ok(await button.isDisabled());
    await dialog.getByLabel("Name", { exact: true }).fill("To be delete");
    assert.ok(await button.isDisabled(), "the whole name");
    await dialog.getByLabel("Name", { exact: true }).fill("To be deleted");
    await button.click();
    await page.getByText("To be deleted is deleted").waitFor();
    await page.getByRole("row", { name: /To be deleted/ }).waitFor({ state: "detached" });
  });
  const left = await fetch(`${process.env.LANEKEEPER_URL}/api/tenants/${tenant.id}`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(left.status, 404);
});

test("names of emoji, markup and turned letters are only names", async () => {
  for (const name of [emoji, markup, turned]) await call("POST", "/tenants", { name }, { token });
  for (const width of [1280, 390]) {
    await on("/tenants", { token, width }, async (page) => {
      await page.getByRole("link", { name: markup }).first().waitFor();
      assert.notEqual(await page.title(), "run");
      assert.equal(await page.locator("img").count(), 0);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
      await accessible(page, `strange names at ${width}`);
      await picture(page, `names-${width}`);
      await page.keyboard.press("/");
      await page.getByRole("combobox", { name: "Search tenants and pages" }).fill("🦊");
      await page.getByRole("option", { name: emoji }).waitFor();
      await page.keyboard.press("Escape");
    });
  }
  await on("/tenants", { token }, async (page) => {
    await page.getByRole("button", { name: `Actions for ${emoji}` }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await accessible(page, "the deletion of a long name");
    await picture(page, "delete-emoji");
    await page.getByRole("dialog").getByLabel("Name", { exact: true }).fill(emoji);
    await page.getByRole("button", { name: /^Delete it/ }).click();
    await page.getByText("is deleted").waitFor();
  });
});
