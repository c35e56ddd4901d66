// A tenant's other pages: a message's deliveries, usage, how to connect.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, call, logIn, on, picture, until, url } from "./lib.mjs";

let token;
before(async () => { token = await logIn(); });

const api = (method, path, body, more = {}) => call(method, path, body, { token, ...more });

/** An endpoint that answers as it is told. */
const receiver = { status: 204, answer: "", got: 0 };
const server = createServer((request, response) => {
  request.resume().on("end", () => {
    receiver.got++;
    response.writeHead(receiver.status, { "Content-Type": "text/plain" }).end(receiver.answer);
  });
});
before(async () => { await new Promise((done) => { server.listen(0, "127.0.0.1", done); }); });
after(() => server.close());

test("a message's page says what became of it, and sends it again", async () => {
  const tenant = await api("POST", "/tenants", { name: "Deliveries" });
  const endpoint = await api("POST", `/tenants/${tenant.id}/endpoints`, {
    url: `http://127.0.0.1:${server.address().port}/hook`, retry: { schedule: ["1h"], final: [] }, description: "the shop",
  });
  receiver.status = 500;
  receiver.answer = "<b>down</b> for maintenance";
  const { id } = await api("POST", "/messages", { payload: { order: 1842 }, type: "order.created", headers: { source: "shop" } }, { tenant: tenant.id });
  await on(`/tenants/${tenant.id}/messages/${id}`, { token }, async (page) => {
    await page.getByRole("heading", { name: "Message 1" }).waitFor();
    const deliveries = page.getByRole("region", { name: "Deliveries" });
    await deliveries.getByText("retrying").waitFor();
    await deliveries.getByText("500").waitFor();
    const attempts = page.getByRole("region", { name: "Attempts" });
    await attempts.locator("summary").first().click();
    await attempts.getByText("<b>down</b> for maintenance").waitFor();
    await accessible(page, "a message with deliveries");

    receiver.status = 204;
    receiver.answer = "";
    await deliveries.getByRole("button", { name: "Resend" }).click();
    await page.locator(".outcome", { hasText: "It is on its way to" }).waitFor();
    await deliveries.getByText("delivered").waitFor();
    await until(async () => (await attempts.locator("summary").count()) === 2, "both attempts are listed");
    await picture(page, "tenant-message");
    await page.setViewportSize({ width: 390, height: 844 });
    await accessible(page, "a message, narrow");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the window");
  });
  assert.ok(endpoint.id);
});

test("a message that is not stored is explained, and one that nobody knows too", async () => {
  const tenant = await api("POST", "/tenants", { name: "Unknown" });
  await on(`/tenants/${tenant.id}/messages/00000000-0000-4000-8000-000000000000`, { token }, async (page) => {
    await page.getByRole("heading", { name: /No such message|Not stored yet/ }).waitFor();
    await accessible(page, "an unknown message");
  });
});

test("usage is shown, and saved as CSV with the token", async () => {
  const tenant = await api("POST", "/tenants", { name: "Usage" });
  await api("POST", "/messages/batch", { messages: Array.from({ length: 40 }, (_, n) => ({ payload: { n } })) }, { tenant: tenant.id });
  await until(async () => (await api("GET", `/usage?tenant_id=${tenant.id}`)).data[0]?.messages === 40, "the messages are counted", 90_000);
  await on(`/tenants/${tenant.id}/usage`, { token }, async (page) => {
    await page.getByText(/^40 messages of \d+ B in 30 days/).waitFor();
    await page.getByRole("img", { name: /^Messages by day: 40 in 30 days/ }).waitFor();
    await page.getByRole("table", { name: "Usage by day" }).getByText("40", { exact: true }).waitFor();
    await accessible(page, "usage");
    await picture(page, "tenant-usage");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download CSV" }).click()]);
    const text = await readFile(await download.path(), "utf8");
    assert.match(text, new RegExp(`^tenant_id,day,messages,bytes\r\n${tenant.id},\\d{4}-\\d\\d-\\d\\d,40,\\d+\r\n$`));
    await page.getByLabel("Show").selectOption("90");
    await page.getByText(/in 90 days/).first().waitFor();
    assert.equal(new URL(page.url()).searchParams.get("days"), "90");
  });
});

test("how to connect is filled in, and its curl line works as it stands", async () => {
  const tenant = await api("POST", "/tenants", { name: "Connect", external_id: "acme" });
  const key = await api("POST", `/tenants/${tenant.id}/api-keys`, { name: "a test", scopes: ["publish", "read"] });
  await on(`/tenants/${tenant.id}/connect`, { token }, async (page) => {
    const line = await page.locator(".code code").first().textContent();
    const { execFile } = await import("node:child_process");
    const answer = await new Promise((done, failed) => {
      execFile("sh", ["-c", line.replace("$(uuidgen)", "a-key")], { env: { ...process.env, LANEKEEPER_API_KEY: key.key } }, (error, out) => (error ? failed(error) : done(out)));
    });
    assert.equal(JSON.parse(answer).status, "accepted");
    for (const [name, part] of [["Go", "lanekeeper/pkg/client"], ["Node", "lanekeeper-client"], ["Python, AMQP", `tenant_${tenant.id}_exchange`]]) {
      await page.getByRole("group", { name: "Language" }).getByRole("button", { name }).click();
      await until(async () => (await page.locator(".code code").first().textContent()).includes(part), `${name} is shown`);
      const text = await page.locator(".code code").first().textContent();
      assert.ok(text.includes(tenant.id), `${name} does not name the tenant`);
      if (name !== "Python, AMQP") assert.ok(text.includes(new URL(url).origin), `${name} does not name the address`);
      await accessible(page, `how to connect with ${name}`);
    }
    await page.getByRole("button", { name: "Issue credentials" }).click();
    await page.getByText("This service issues none").waitFor();
    await picture(page, "tenant-connect");
  });
});
