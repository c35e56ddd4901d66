// Everything by keys, and thousands of rows.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accessible, call, logIn, on, picture, until } from "./lib.mjs";

const many = 260;
let token;
before(async () => {
  token = await logIn();
  const numbers = Array.from({ length: many }, (_, i) => i);
  for (let i = 0; i < many; i += 10) {
    await Promise.all(numbers.slice(i, i + 10).map((n) => call("POST", "/tenants", { name: `Tenant ${String(n).padStart(3, "0")}`, status: "inactive" }, { token })));
  }
});

const focused = (page) => page.evaluate(() => document.activeElement?.textContent || "");

test("only the rows that are seen are drawn, and keys reach all", async () => {
  await on("/tenants?sort=name", { token, height: 700 }, async (page) => {
    await page.getByText(`${many} tenants`).first().waitFor();
    const table = page.getByRole("table", { name: "Tenants" });
    await until(async () => Number(await table.getAttribute("aria-rowcount")) >= 201, "the first rows are there");
    const drawn = () => page.locator("tbody tr[data-row]").count();
    assert.ok(await drawn() < 60, `${await drawn()} rows are drawn`);
    await page.locator('tr[data-row="0"]').focus();
    await page.keyboard.press("ArrowDown");
    assert.match(await focused(page), /^Tenant 001/);
    await page.keyboard.press("PageDown");
    assert.match(await focused(page), /^Tenant 01\d/);
    await page.keyboard.press("End");
    await until(async () => /^Tenant (199|259)/.test(await focused(page)), "the last row that is loaded");
    await page.keyboard.press("Home");
    await until(async () => /^Tenant 000/.test(await focused(page)), "the first row");
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, document.body.scrollHeight); });
    await until(async () => await table.getAttribute("aria-rowcount") === String(many + 1), "the rest is read when its end is near");
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.getByRole("link", { name: `Tenant ${many - 1}` }).waitFor();
    assert.ok(await drawn() < 60);
    await picture(page, "tenants-end");
  });
});

test("keys", async () => {
  await on("/", { token }, async (page) => {
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.getByRole("heading", { name: "Tenants", exact: true }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await accessible(page, "the keys");
    await picture(page, "keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("/");
    const search = page.getByRole("combobox", { name: "Search tenants and pages" });
    await search.waitFor();
    await search.pressSequentially("tenant 12");
    await page.getByRole("option", { name: /Tenant 120/ }).waitFor();
    assert.equal(await page.getByRole("option").count(), 8, "the first of those that fit");
    await accessible(page, "the search");
    await picture(page, "search");
    await search.fill("overv");
    await page.getByRole("option", { name: /Overview/ }).waitFor();
    await until(async () => (await page.getByRole("option").count()) === 1, "only the overview is left");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("button", { name: /^Search/ }).focus();
    await page.keyboard.press("Enter");
    await search.waitFor();
    await page.keyboard.press("Escape");
    await search.waitFor({ state: "detached" });
    assert.match(await focused(page), /Search/, "the focus is given back");
  });
});

test("rows do not move under who reads them", async () => {
  await on("/tenants?sort=name&q=Tenant+00", { token }, async (page) => {
    await page.getByRole("link", { name: "Tenant 005" }).waitFor();
    await page.locator('tr[data-row="3"]').hover();
    await call("POST", "/tenants", { name: "Tenant 000 b", status: "inactive" }, { token });
    await page.getByRole("button", { name: "1 new" }).waitFor();
    assert.match(await page.locator('tr[data-row="3"]').innerText(), /^Tenant 003/);
    await page.getByRole("button", { name: "1 new" }).click();
    await until(async () => /^Tenant 002/.test(await page.locator('tr[data-row="3"]').innerText()), "shown when it is asked for");
  });
});
