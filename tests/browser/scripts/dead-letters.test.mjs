// Dead letters: poison by AMQP becomes a letter, which is looked at, replayed, deleted.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, call, logIn, on, order, picture, until } from "./lib.mjs";
import { receiver } from "./receiver.mjs";

let token, hooks;
before(async () => {
  token = await logIn();
  const { user } = await call("GET", "/me", undefined, { token });
  await call("PATCH", `/users/${user.id}`, { limits: { publish_rate: 5000 } }, { token });
  hooks = await receiver();
});
after(() => hooks.close());

const tenantOf = async (name) => (await call("POST", "/tenants", { name }, { token })).id;
const waiting = async (tenant) => (await call("GET", "/dead-letters/groups", undefined, { token, tenant })).counted;
const line = (page, text) => page.locator(".outcome", { hasText: text });

test("poison becomes letters, which are shown as they came", async () => {
  const tenant = await tenantOf("Poisoned");
  await on(`/tenants/${tenant}/dead-letters`, { token }, async (page) => {
    await page.getByRole("heading", { name: "No dead letters" }).waitFor();
    await accessible(page, "no letters");
    await order(`poison-${tenant}`); // markup, bytes that are no text, text that turns around
    await page.getByText(/^3 letters in \d groups?/).waitFor();
    const rows = page.getByRole("table", { name: "Dead letters", exact: true }).locator("tbody tr");
    await until(async () => (await rows.count()) === 3, "3 letters");
    await accessible(page, "letters");
    await picture(page, "dead-letters");
    await rows.first().locator("a").click();
    await page.getByRole("heading", { name: /^Dead letter \d+$/ }).waitFor();
    await page.getByText("Replaying it comes to the same").waitFor();
  });
  const { data: letters } = await call("GET", "/dead-letters/summaries", undefined, { token, tenant });
  assert.equal(letters.length, 3);
  const shown = [];
  for (const letter of letters) {
    await on(`/tenants/${tenant}/dead-letters/${letter.id}`, { token }, async (page) => {
      await page.locator(".raw pre").waitFor();
      shown.push(await page.locator(".raw").textContent());
      await accessible(page, "a letter");
      await picture(page, `dead-letter-${shown.length}`);
    });
  }
  const all = shown.join("\n");
  assert.match(all, /<img src=x onerror=alert\(1\)>/);
  assert.match(all, /000000 {2}ff fe 00/);
  assert.match(all, /\\u202e/, "what turns the direction around is written out");
});

test("a letter of 1 MiB is shown in part, and a viewer only looks at it", async () => {
  const tenant = await tenantOf("Large");
  await order(`large-${tenant}`);
  await until(async () => (await waiting(tenant)) === 1, "the letter", 30_000);
  const { data: [letter] } = await call("GET", "/dead-letters/summaries", undefined, { token, tenant });
  const secret = "gravel mumble tax orbit";
  await call("POST", "/users", { name: "Vera", email: "vera@example.com", password: secret, role: "viewer", tenant_id: tenant }, { token });
  await on(`/tenants/${tenant}/dead-letters/${letter.id}`, { token: await logIn("vera@example.com", secret) }, async (page) => {
    await page.getByText("1,048,582 bytes of text that is not JSON, of which the first 65,536 bytes are shown.").waitFor();
    assert.equal((await page.locator(".raw pre").textContent()).length, 65_536);
    assert.equal(await page.getByRole("button", { name: /Replay|Delete/ }).count(), 0);
    await accessible(page, "a large letter");
    await page.locator(".crumbs").getByRole("link", { name: "Dead letters" }).click();
    await page.getByText(/^1 letter in 1 group: /).waitFor();
    assert.equal(await page.getByRole("button", { name: /Replay|Delete/ }).count(), 0);
    assert.equal(await page.getByRole("checkbox", { name: /^Letter/ }).count(), 0);
  });
});

test("what an endpoint did not take is replayed to it", async () => {
  const tenant = await tenantOf("Refused");
  Object.assign(hooks, { status: 409, answer: "no" });
  await call("POST", `/tenants/${tenant}/endpoints`, { url: hooks.url, retry: { final: [409] }, rate: 1000 }, { token });
  await call("POST", "/messages/batch", { messages: Array.from({ length: 5 }, (_, i) => ({ payload: i })) }, { token, tenant });
  await until(async () => (await waiting(tenant)) === 5, "5 letters", 30_000);
  await order(`poison-${tenant}`);
  await until(async () => (await waiting(tenant)) === 8, "8 letters", 30_000);
  await on(`/tenants/${tenant}/dead-letters`, { token }, async (page) => {
    await page.getByText(/^8 letters in 2 groups; the largest, with 5: 409 from 127\.0\.0\.1:\d+\/hooks since \d\d:\d\d\.$/).waitFor();
    await page.getByRole("table", { name: "Groups of dead letters" }).getByText("409 from").click();
    await page.getByText(/^5 letters: 409 from/).waitFor();
    await page.getByRole("button", { name: "Replay 5 letters" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/^Replay 5 letters to 127\.0\.0\.1:\d+\/hooks at 1,000\/s, about 1 s\./).waitFor();
    await accessible(page, "before a replay");
    await picture(page, "dead-letters-replay");
    hooks.status = 200;
    await dialog.getByRole("button", { name: "Replay 5 letters" }).click();
    await line(page, "5 letters replayed.").waitFor();
    await page.getByText("Nothing waits that was given up for status 409.").waitFor();
  });
  await until(() => hooks.got.length >= 10, "delivered again");
  await on(`/tenants/${tenant}/dead-letters`, { token, width: 390, height: 844 }, async (page) => {
    await page.getByText(/^3 letters in/).waitFor();
    const picks = page.getByRole("checkbox", { name: /^Letter/ });
    await until(async () => (await picks.count()) === 3, "3 letters");
    await picks.first().check();
    await accessible(page, "narrow");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no scrolling sideways");
    await picture(page, "dead-letters-narrow");
    await page.getByRole("button", { name: "Delete 1 letter" }).click();
    await page.getByRole("dialog").getByText("Delete 1 letter for good: there is no way back.").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 1 letter" }).click();
    await line(page, "1 letter deleted.").waitFor();
    await page.getByText(/^2 letters in/).waitFor();
  });
  // The others are deleted, and those that were replayed are kept.
  await on(`/tenants/${tenant}/dead-letters`, { token, scheme: "dark" }, async (page) => {
    await page.getByRole("button", { name: "Delete 2 letters" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 2 letters" }).click();
    await line(page, "2 letters deleted.").waitFor();
    await page.getByRole("heading", { name: "No dead letters" }).waitFor();
    await page.getByLabel("Replayed ones too").check();
    await page.getByText(/^5 letters in 1 group/).waitFor();
    await accessible(page, "dark");
    await picture(page, "dead-letters-dark");
  });
});

test("many letters are a job, with progress and a way to cancel", async () => {
  const tenant = await tenantOf("Many");
  await call("DELETE", `/consumers/${tenant}`, undefined, { token });
  await order(`letters-${tenant}`); // 4,000, by SQL
  await on(`/tenants/${tenant}/dead-letters`, { token }, async (page) => {
    await page.getByText(/^4,000 letters in 1 group: /).waitFor();
    await page.getByRole("button", { name: "Replay 4,000 letters" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/^Replay 4,000 letters at 5,000\/s, about 1 s\./).waitFor();
    await dialog.getByText("become a job, which goes on by itself").waitFor();
    await dialog.getByRole("button", { name: "Replay 4,000 letters" }).click();
    await line(page, "4,000 letters are being replayed: the job goes on by itself.").waitFor();
    await until(async () => (await page.locator(".outcome", { hasText: /letters replayed|Canceled after/ }).count()) > 0 || (await page.getByRole("progressbar").count()) > 0, "progress");
    await picture(page, "dead-letters-job");
    await until(async () => (await page.getByText(/The last job ended/).count()) > 0, "the end of the job", 60_000);
    await page.getByText(/4,000 letters replayed\./).first().waitFor();
  });
  await on(`/tenants/${tenant}/dead-letters?replayed=true`, { token }, async (page) => {
    await page.getByText(/^4,000 letters in 1 group: /).waitFor();
    await page.getByRole("table", { name: "Groups of dead letters" }).locator("tbody tr a").click();
    await page.getByRole("button", { name: "Delete 4,000 letters" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 4,000 letters" }).click();
    await until(async () => (await page.getByText(/The last job ended.*4,000 letters deleted/).count()) > 0, "the end of the job", 60_000);
  });
});
