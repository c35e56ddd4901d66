// The fleet: its replicas and what each runs.
import { before, test } from "node:test";
import { accessible, call, logIn, on, picture } from "./lib.mjs";

let token;
before(async () => {
  token = await logIn();
  await call("POST", "/tenants", { name: "Acme" }, { token });
});

test("the fleet shows its replicas and what each runs", async () => {
  await on("/fleet", { token }, async (page) => {
    await page.getByText(/^1 replica, \d+ tenants?, /).waitFor();
    await page.getByRole("table", { name: "Replicas" }).locator("tbody tr a").click();
    await page.getByRole("table", { name: /^Tenants of/ }).getByText("Acme").waitFor();
    await accessible(page, "the fleet");
    await picture(page, "fleet");
  });
});
