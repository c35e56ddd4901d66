// The dead letters of all tenants.
import { before, test } from "node:test";
import { accessible, call, logIn, on, order, picture, until } from "./lib.mjs";

let token;
before(async () => { token = await logIn(); });

test("which tenants have letters, and what for", async () => {
  await on("/dead-letters", { token }, async (page) => {
    await page.getByRole("heading", { name: "Nothing was given up" }).waitFor();
    const tenants = [];
    for (const name of ["Acme", "Beta"]) tenants.push((await call("POST", "/tenants", { name }, { token })).id);
    await order(`poison-${tenants[0]}`);
    await call("DELETE", `/consumers/${tenants[1]}`, undefined, { token });
    await order(`letters-${tenants[1]}`);
    await page.getByText(/^4,003 letters of 2 tenants; the largest group, with 4,000: rejected by <number> since \d\d:\d\d, of Beta\.$/).waitFor({ timeout: 60_000 });
    await until(async () => (await page.getByRole("table", { name: "Tenants with dead letters" }).locator("tbody tr").count()) === 2, "2 tenants");
    await accessible(page, "all letters");
    await picture(page, "dead-letters-all");
    await page.getByRole("table", { name: "Largest groups" }).getByText("rejected by").click();
    await page.getByText(/^4,000 letters: rejected by/).waitFor();
  });
});
