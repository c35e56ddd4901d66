// Endpoints: made, tested, down and back, held, replayed, changed, deleted.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, call, logIn, on, picture, until } from "./lib.mjs";
import { receiver } from "./receiver.mjs";

let token, tenant, hooks;
before(async () => {
  token = await logIn();
  tenant = (await call("POST", "/tenants", { name: "Acme" }, { token })).id;
  hooks = await receiver();
});
after(() => hooks.close());

const publish = (n, more = {}) => call("POST", "/messages/batch", { messages: Array.from({ length: n }, (_, i) => ({ payload: { order: i }, type: "order.created", ...more })) }, { token, tenant });
const endpoint = async (more) => call("POST", `/tenants/${tenant}/endpoints`, { url: `${hooks.url}/${Math.random().toString(36).slice(2, 8)}`, retry: { schedule: ["1s", "1s", "1s", "1h"] }, ...more }, { token });
const at = (e) => `/tenants/${tenant}/endpoints/${e.id}`;
const known = (e) => call("GET", at(e), undefined, { token });
/** What came to an endpoint. */
const got = (e) => hooks.got.filter((one) => one.url === e.url);
const line = (page, text) => page.locator(".outcome", { hasText: text });

test("an endpoint is made, and its secret shown once", async () => {
  await on(`/tenants/${tenant}/endpoints`, { token }, async (page) => {
    await page.getByRole("heading", { name: "No endpoints yet" }).waitFor();
    await accessible(page, "no endpoints");
    await page.getByRole("button", { name: "New endpoint" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("URL").fill("ftp://127.0.0.1/x");
    await dialog.getByLabel("Description").fill("Orders for the <b>warehouse</b>");
    await dialog.getByLabel("Types").fill("order.*\ninvoice.paid");
    await dialog.getByText("Retries, headers, secret and id").click();
    await dialog.getByLabel("Headers").fill("Authorization: Bearer abc");
    await dialog.getByRole("button", { name: "Create endpoint" }).click();
    await dialog.locator(".field .wrong").first().waitFor();
    await accessible(page, "what is wrong with an endpoint");
    assert.equal(await dialog.getByLabel("Description").inputValue(), "Orders for the <b>warehouse</b>");
    await dialog.getByLabel("URL").fill(hooks.url);
    await dialog.getByRole("button", { name: "Create endpoint" }).click();
    const secret = page.locator(".secret code");
    await secret.waitFor();
    assert.match(await secret.textContent(), /^whsec_/);
    await accessible(page, "the secret");
    await picture(page, "endpoint-secret");
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByText("Delivers: no attempts in the last hour, nothing behind, breaker closed.").waitFor();
    await page.getByText("order.*").first().waitFor();
    assert.equal(await page.locator(".secret").count(), 0);
    await line(page, "is made").waitFor();
  });
  const [e] = (await call("GET", `/tenants/${tenant}/endpoints`, undefined, { token })).data;
  assert.deepEqual(e.types, ["order.*", "invoice.paid"]);
  assert.deepEqual(e.headers, { Authorization: "***" });
  await call("DELETE", `/tenants/${tenant}/endpoints/${e.id}`, undefined, { token });
});

test("an endpoint that is down and comes back", async () => {
  Object.assign(hooks, { status: 503, answer: "busy <script>alert(1)</script>", got: [] });
  const e = await endpoint();
  await publish(12);
  await on(at(e), { token }, async (page) => {
    await page.getByText(/^Fails: 0 % at the first attempt in the last hour, 12 behind, breaker open\.$/).waitFor();
    await page.getByText(/The breaker is open since \d\d:\d\d: 10 different messages failed in a row/).waitFor();
    const rows = page.getByRole("table", { name: "Attempts" }).locator("tbody tr");
    await until(async () => (await rows.count()) >= 12, "12 attempts");
    assert.match(await rows.first().textContent(), /status 503.*busy <script>alert\(1\)<\/script>/);
    await rows.first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("The beginning of its answer").waitFor();
    assert.equal(await dialog.locator("pre").textContent(), "busy <script>alert(1)</script>");
    assert.match(page.url(), /attempt=/);
    await accessible(page, "an attempt");
    await picture(page, "attempt");
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.search.includes("attempt"));
    await accessible(page, "an endpoint that is down");
    await picture(page, "endpoint-down");
    hooks.status = 200;
    hooks.answer = "thanks";
    // Something new is what the breaker tries, and what succeeds closes it.
    await page.getByText(/nothing behind, breaker closed\.$/).waitFor({ timeout: 45_000 });
    await page.getByRole("button", { name: "Delivered", exact: true }).click();
    await page.waitForURL(/status=succeeded/);
    await until(async () => (await rows.count()) >= 12, "12 deliveries");
    assert.match(await rows.first().textContent(), /delivered.*thanks/);
    await page.getByRole("button", { name: "Failed", exact: true }).click();
    await until(async () => /503/.test(await rows.first().textContent()), "the failures");
    await picture(page, "endpoint");
  });
  await on(at(e), { token, scheme: "dark" }, async (page) => {
    await page.getByText(/breaker closed\.$/).waitFor();
    await accessible(page, "dark");
    await picture(page, "endpoint-dark");
  });
  await on(at(e), { token, width: 390, height: 844 }, async (page) => {
    await page.getByText(/breaker closed\.$/).waitFor();
    await accessible(page, "narrow");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no scrolling sideways");
    await picture(page, "endpoint-narrow");
  });
  await call("DELETE", at(e), undefined, { token });
});

test("hold, resume, test, rotate, change, delete", async () => {
  Object.assign(hooks, { status: 200, answer: "thanks", got: [] });
  const e = await endpoint();
  await on(at(e), { token }, async (page) => {
    const actions = page.locator(".page-actions").first();
    await actions.getByRole("button", { name: "Hold", exact: true }).click();
    await line(page, "is held with 0 behind").waitFor();
    await page.getByText(/^Held: /).waitFor();
    await publish(3);
    await page.getByText("It is held until somebody resumes it. Nothing is lost: 3 messages wait.").waitFor();
    assert.equal(got(e).length, 0);
    await accessible(page, "held");
    await line(page, "is held with").getByRole("button", { name: "Undo" }).click();
    await line(page, "3 messages are delivered now").waitFor();
    await until(() => got(e).length === 3, "3 deliveries");

    await actions.getByRole("button", { name: "Test" }).click();
    await line(page, "The test arrived: status 200").waitFor();
    hooks.status = 500;
    await actions.getByRole("button", { name: "Test" }).click();
    await line(page, "The test did not arrive").waitFor();
    hooks.status = 200;

    await actions.getByRole("button", { name: "Rotate secret" }).click();
    await page.getByLabel("Grace").fill("2 days");
    await page.getByRole("dialog").getByRole("button", { name: "Rotate secret" }).click();
    await page.getByRole("dialog").locator(".field .wrong").waitFor();
    await page.getByLabel("Grace").fill("1h");
    await page.getByRole("dialog").getByRole("button", { name: "Rotate secret" }).click();
    assert.match(await page.locator(".secret code").textContent(), /^whsec_/);
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByText("signs along, and ends").waitFor();

    await actions.getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog");
    await accessible(page, "the form");
    await picture(page, "endpoint-form");
    // Somebody else changes something meanwhile: only what is changed here is sent.
    await call("PATCH", at(e), { description: "theirs" }, { token });
    await dialog.getByText("Somebody has changed this endpoint").waitFor();
    await dialog.getByLabel("Rate, per second").fill("50");
    await dialog.getByRole("button", { name: "Save" }).click();
    await line(page, "is changed: rate").waitFor();
    const now = await known(e);
    assert.equal(now.rate, 50);
    assert.equal(now.description, "theirs");

    hooks.status = 500;
    await publish(2);
    await page.getByText(/2 behind/).waitFor();
    await actions.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByText("2 messages that it has not got do not go there any more.").waitFor();
    const confirm = page.getByRole("dialog").getByRole("button", { name: "Delete endpoint" });
    assert.ok(await confirm.isDisabled());
    await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill(e.url.replace("http://", ""));
    await confirm.click();
    await line(page, "It had not got 2 messages.").waitFor();
    await page.waitForURL(/\/endpoints$/);
  });
});

test("a replay is counted, started, watched and canceled", async () => {
  Object.assign(hooks, { status: 200, got: [] });
  const e = await endpoint({ from_seq: 1 });
  await publish(30);
  await until(async () => (await known(e)).settled_seq >= 30 && (await known(e)).lag === 0, "all delivered");
  await on(at(e), { token }, async (page) => {
    await page.getByRole("button", { name: "Replay" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("To message").fill("30");
    await dialog.getByLabel("Rate, per second").fill("1");
    await dialog.getByRole("button", { name: "Count them" }).click();
    await dialog.getByText("30 of messages 1 to 30, at 1/s: about 30 s.").waitFor();
    await accessible(page, "a replay to be");
    await picture(page, "replay");
    await dialog.getByRole("button", { name: "Replay 30 messages" }).click();
    await line(page, "A replay of 30 messages").waitFor();
    await page.getByRole("progressbar").waitFor();
    await page.reload(); // another tab, or the same one later, sees it as well
    await page.getByRole("button", { name: "Cancel" }).click();
    await line(page, /The replay is canceled after \d+ of 30 messages/).waitFor();
    await page.getByText(/canceled after \d+ of 30/).first().waitFor();
  });
});

test("a message that blocks an endpoint in strict order is skipped", async () => {
  Object.assign(hooks, { status: 500, got: [] });
  const e = await endpoint({ ordering: "fifo", retry: { schedule: ["1h"] } });
  await publish(3);
  await on(at(e), { token }, async (page) => {
    await page.getByText("Order is fifo: what is behind waits for it.", { exact: false }).waitFor();
    hooks.status = 200;
    await page.getByRole("button", { name: "Skip" }).click();
    await page.getByRole("dialog").getByText(/The 2 messages behind it go on/).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Skip 1 message" }).click();
    await line(page, "is given up after").waitFor();
    await page.getByText(/nothing behind, breaker closed/).waitFor();
  });
  await call("DELETE", at(e), undefined, { token });
});
