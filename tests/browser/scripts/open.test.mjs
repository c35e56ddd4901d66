// In open mode nobody logs in, and the first tenant is a click away.
import { test } from "node:test";
import { accessible, on, picture } from "./lib.mjs";

test("open mode needs no login, and teaches", async () => {
  await on("/", {}, async (page) => {
    await page.getByRole("heading", { name: "Make the first tenant" }).waitFor();
    await page.getByText("Open mode").waitFor();
    await accessible(page, "the first minute");
    await picture(page, "first");
    await page.getByRole("main").getByRole("link", { name: "Create a tenant" }).first().click();
    await page.getByLabel("Name", { exact: true }).fill("Acme");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("Acme is ready").waitFor();
  });
});
