// What happens elsewhere while a page is open: another tab, another clock, another caller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, call, logIn, on, open, until } from "./lib.mjs";

test("two tabs delete the same tenant", async () => {
  const token = await logIn();
  await call("POST", "/tenants", { name: "Wanted gone twice" }, { token });
  const tabs = [await open("/tenants", { token }), await open("/tenants", { token })];
  const dialogs = [];
  for (const { page } of tabs) {
    await page.getByRole("button", { name: "Actions for Wanted gone twice" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete this tenant?" });
    await dialog.getByLabel("Name", { exact: true }).fill("Wanted gone twice");
    dialogs.push(dialog);
  }
  await dialogs[0].getByRole("button", { name: /^Delete it/ }).click();
  await tabs[0].page.getByText("Wanted gone twice is deleted").waitFor();
  await dialogs[1].getByRole("button", { name: /^Delete it/ }).click();
  await dialogs[1].getByRole("alert").getByText("tenant_not_found").waitFor();
  await accessible(tabs[1].page, "a tenant that is gone already");
  for (const { close } of tabs) await close();
});

test("a clock that is wrong does not make anything old", async () => {
  const token = await logIn();
  const tenant = await call("POST", "/tenants", { name: "On time" }, { token });
  await call("POST", "/messages", { payload: 1 }, { token, tenant: tenant.id });
  const { page, close } = await open("/login", { token });
  for (const hours of [-3, 5]) {
    await page.clock.install({ time: Date.now() + hours * 3_600_000 });
    await page.goto(`${process.env.LANEKEEPER_URL}/console/tenants`);
    const cell = page.getByRole("row", { name: /On time/ }).locator("time");
    await cell.waitFor();
    assert.match(await cell.innerText(), /^(now|\d+ s ago|1 min ago)$/, `${hours} hours`);
  }
  await close();
});

test("a caller of one tenant sees its own, and no more", async () => {
  const root = await logIn();
  const mine = await call("POST", "/tenants", { name: "Mine" }, { token: root });
  await call("POST", "/tenants", { name: "Another's" }, { token: root });
  await call("POST", "/users", { name: "Bea", email: "bea@example.com", password: "a password of some length", role: "viewer", tenant_id: mine.id }, { token: root });
  const token = await logIn("bea@example.com", "a password of some length");
  await on("/tenants", { token }, async (page) => {
    await page.getByRole("link", { name: "Mine" }).waitFor();
    await until(async () => (await page.getByRole("row").count()) === 2, "one row below the head");
    assert.equal(await page.getByRole("button", { name: "Create a tenant" }).count(), 0);
    assert.equal(await page.getByRole("button", { name: /Actions for/ }).count(), 0, "a viewer changes nothing");
    await page.goto(`${process.env.LANEKEEPER_URL}/console/`);
    await page.getByText("The only tenant flows").waitFor();
    assert.equal(await page.getByText("What it runs on").count(), 0);
    await accessible(page, "the overview of a viewer");
  });
});
