// A server that goes away under an open page, and comes back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, call, logIn, on, order, picture } from "./lib.mjs";

test("the server goes away and comes back", async () => {
  const token = await logIn();
  await call("POST", "/tenants", { name: "Acme" }, { token });
  await on("/tenants", { token }, async (page) => {
    await page.getByRole("link", { name: "Acme" }).waitFor();
    await page.getByRole("button", { name: "Create a tenant" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Typed while it was away");
    await order("stop");
    const bar = page.locator(".away-bar");
    await bar.waitFor();
    assert.match(await bar.innerText(), /does not answer, for .* What you see is as of \d\d:\d\d:\d\d/);
    assert.equal(await page.getByRole("link", { name: "Acme", includeHidden: true }).count(), 1, "what was known stays");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("alert").getByText("unreachable").waitFor();
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "Typed while it was away");
    await picture(page, "away-form");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await accessible(page, "a page while the server is away");
    await picture(page, "away");
    await order("start");
    await bar.waitFor({ state: "detached" });
    await page.getByText("Lanekeeper answers again").waitFor();
    await page.locator('[data-live="live"]').waitFor();
  });
});

test("a page that is opened while the server is away begins once it is back", async () => {
  const token = await logIn();
  await on("/", { token, expectErrors: true }, async (page) => {
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    let gone = true;
    await page.route("**/api/**", (route) => (gone ? route.abort("connectionrefused") : route.continue()));
    await page.route("**/healthz", (route) => (gone ? route.abort("connectionrefused") : route.continue()));
    await page.reload();
    await page.getByRole("heading", { name: "Lanekeeper does not answer" }).waitFor();
    await accessible(page, "nothing but a server that is away");
    gone = false;
    await page.getByRole("heading", { name: "Overview" }).waitFor();
  });
});
