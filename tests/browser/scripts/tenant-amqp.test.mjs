// The AMQP credentials of a tenant: issued, shown once, rotated and revoked.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accessible, call, logIn, on, picture } from "./lib.mjs";

let token;
before(async () => { token = await logIn(); });

test("credentials are issued, shown once, rotated and revoked", async () => {
  const tenant = await call("POST", "/tenants", { name: "AMQP" }, { token });
  const path = `/tenants/${tenant.id}/amqp-credentials`;
  await on(`/tenants/${tenant.id}/connect?with=python`, { token }, async (page) => {
    const section = page.getByRole("region", { name: "AMQP credentials" });
    await page.getByText("Issue AMQP credentials first.").waitFor();
    await section.getByRole("button", { name: "Issue credentials" }).click();
    const once = section.locator(".once code");
    await once.waitFor();
    const first = await once.textContent();
    assert.ok(first.length > 20, "that is no password");
    const { username } = await call("GET", path, undefined, { token });
    await section.getByText(username, { exact: true }).waitFor();
    const program = await page.locator(".code code").first().textContent();
    assert.ok(program.includes(`${username}:PASSWORD@`), "the program names the user");
    assert.ok(!program.includes(first), "the password is only where it is shown once");
    await accessible(page, "AMQP credentials");
    await picture(page, "tenant-amqp");

    await section.getByRole("button", { name: "Rotate" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.notEqual(await once.textContent(), first);

    await page.reload();
    await section.getByText(username, { exact: true }).waitFor();
    assert.equal(await once.count(), 0, "the password is shown twice");

    await section.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await section.getByRole("button", { name: "Issue credentials" }).waitFor();
    await assert.rejects(call("GET", path, undefined, { token }), /amqp_credentials_not_found/);
  });
});
