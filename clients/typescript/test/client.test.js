// Against a service that runs at LANEKEEPER_URL, with an admin's LANEKEEPER_EMAIL and
// LANEKEEPER_PASSWORD, and delivers to this machine.
import assert from "node:assert/strict";
import http from "node:http";
import { before, test } from "node:test";
import { Lanekeeper, ProblemError, verifyWebhook, WebhookError } from "../dist/index.js";
import { startProxy } from "./proxy.js";

const url = process.env.LANEKEEPER_URL;
const limit = () => AbortSignal.timeout(30_000);
let token;
let client;

before(async () => {
  const answer = await new Lanekeeper({ url }).call("POST", "/login", {
    body: { email: process.env.LANEKEEPER_EMAIL, password: process.env.LANEKEEPER_PASSWORD },
  });
  token = answer.token;
  client = new Lanekeeper({ url, token });
});

async function newTenant(t) {
  const tenant = await client.createTenant({ name: t.name });
  t.after(() => client.deleteTenant(tenant.id));
  return tenant.id;
}

async function through(t, decide) {
  const proxy = await startProxy(url, decide);
  t.after(() => proxy.close());
  return { proxy, client: new Lanekeeper({ url: proxy.url, token }) };
}

/** Reads n messages of an iteration, within a time. */
async function take(messages, n) {
  const taken = [];
  if (n > 0) for await (const message of messages) if (taken.push(message) === n) break;
  return taken;
}

/** Waits until a history has n messages. */
const stored = (tenant, n) => take(client.stream(tenant, { after: 0, signal: limit() }), n);

test("logs in", async () => {
  const own = await new Lanekeeper({ url: `${url}/api/` }).login(process.env.LANEKEEPER_EMAIL, process.env.LANEKEEPER_PASSWORD);
  assert.equal((await own.call("GET", "/me")).role, "admin");
});

test("publishes once, whatever becomes of the attempts, and not before Retry-After", async (t) => {
  const tenant = await newTenant(t);
  const busy = { status: 503, headers: { "Retry-After": "1", "Content-Type": "application/problem+json" }, body: '{"code":"broker_blocked","status":503,"detail":"Away."}' };
  const { proxy, client: shaky } = await through(t, (_, n) => [busy, "lose", { status: 502, body: "<html>" }][n - 1] ?? "pass");
  const accepted = await shaky.publish(tenant, { payload: { text: "hello" }, type: "order.created" });
  assert.ok(proxy.requests[1].at - proxy.requests[0].at >= 1000);
  const keys = proxy.requests.map((r) => r.headers["idempotency-key"]);
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys).size, 1);
  await client.publish(tenant, { payload: "last" });
  const all = await stored(tenant, 2);
  assert.deepEqual(all.map((m) => m.payload), [{ text: "hello" }, "last"]);
  assert.equal(all[0].id, accepted.id);
});

test("gives up what stays refused, and does not repeat what must not be", async (t) => {
  const refusing = { status: 503, headers: { "Retry-After": "0" }, body: "" };
  const proxy = await startProxy(url, () => refusing);
  t.after(() => proxy.close());
  const shaky = new Lanekeeper({ url: proxy.url, token, attempts: 3 });
  await assert.rejects(shaky.getTenant("x"), (e) => e instanceof ProblemError && e.status === 503 && e.temporary);
  assert.equal(proxy.requests.length, 3);
  await assert.rejects(shaky.updateTenant("x", { name: "y" }), ProblemError);
  assert.equal(proxy.requests.length, 4);
});

test("says which problem it is", async (t) => {
  const tenant = await newTenant(t);
  await assert.rejects(client.setWorkers(tenant, 0), (e) => e.status === 422 && e.code === "invalid_fields" && e.errors[0].pointer === "/workers" && e.requestId !== "");
  await assert.rejects(client.getTenant("01a2018a-37f9-71f2-a175-1348e3641bf0"), (e) => e.code === "tenant_not_found" && !e.temporary);
  const gone = new Error("enough");
  await assert.rejects(client.publish(tenant, { payload: 1 }, { signal: AbortSignal.abort(gone) }), gone);
});

test("publishes many, and iterates the history", async (t) => {
  const tenant = await newTenant(t);
  await client.setWorkers(tenant, 1);
  const messages = Array.from({ length: 2500 }, (_, n) => ({ payload: { n } }));
  messages[7] = { payload: 7, type: "not a type" };
  const { client: shaky, proxy } = await through(t, (_, n) => (n === 2 ? "lose" : "pass"));
  const results = await shaky.publishAll(tenant, messages);
  assert.equal(proxy.requests.length, 4);
  assert.equal(results[7].error.code, "invalid_fields");
  await stored(tenant, 2499);
  const read = [];
  for await (const message of client.history(tenant, { limit: 700 })) read.push(message);
  assert.deepEqual(read.map((m) => m.seq), Array.from({ length: 2499 }, (_, n) => n + 1));
  assert.deepEqual(new Set(read.map((m) => m.id)), new Set(results.flatMap((r) => r.id ?? [])));
  const newest = await take(client.history(tenant, { order: "desc", limit: 3 }), 5);
  assert.deepEqual(newest.map((m) => m.seq), [2499, 2498, 2497, 2496, 2495]);
});

test("follows a stream over breaks, and misses nothing", async (t) => {
  const tenant = await newTenant(t);
  await client.publish(tenant, { payload: "before" });
  await stored(tenant, 1);
  // The first connections break before there is a message, and others in the middle of one.
  const { client: shaky, proxy } = await through(t, (_, n) => (n === 3 ? { status: 503, headers: { "Retry-After": "0" }, body: "" } : n < 3 ? { after: 100 } : { cut: 4000 }));
  const following = take(shaky.stream(tenant, { signal: limit() }), 100);
  while (proxy.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  for (let n = 0; n < 10; n++) {
    await client.publishAll(tenant, Array.from({ length: 10 }, (_, i) => ({ payload: { text: "x".repeat(200), i } })));
  }
  assert.deepEqual((await following).map((m) => m.seq), Array.from({ length: 100 }, (_, n) => n + 2));
  assert.ok(proxy.requests.length > 8, `${proxy.requests.length} connections`);
  assert.equal(proxy.requests[0].headers["last-event-id"], undefined);
  assert.ok(proxy.requests.slice(1).every((r) => r.headers["last-event-id"]));
});

test("ends a stream by the signal, and where it cannot go on", async (t) => {
  const tenant = await newTenant(t);
  const stop = new AbortController();
  const ended = take(client.stream(tenant, { signal: stop.signal }), 1);
  setTimeout(() => stop.abort(new Error("enough")), 100);
  await assert.rejects(ended, { message: "enough" });
  await assert.rejects(take(client.stream("01a2018a-37f9-71f2-a175-1348e3641bf0"), 1), (e) => e.code === "tenant_not_found");
  await assert.rejects(take(client.stream(tenant, { after: 5 }), 1), (e) => e.code === "cursor_ahead");
});

test("opens a stream again that has become silent", async (t) => {
  const tenant = await newTenant(t);
  const { proxy } = await through(t, () => "pass");
  const impatient = new Lanekeeper({ url: proxy.url, token, silence: 300 });
  const following = take(impatient.stream(tenant, { signal: limit() }), 1);
  while (proxy.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  await client.publish(tenant, { payload: "at last" });
  assert.equal((await following)[0].payload, "at last");
});

test("verifies deliveries, and works with endpoints and dead letters", async (t) => {
  const tenant = await newTenant(t);
  let received;
  const arrived = new Promise((resolve) => (received = resolve));
  const receiver = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      response.writeHead(request.url === "/takes" ? 204 : 404).end();
      if (request.url === "/takes") received({ headers: request.headers, body: Buffer.concat(chunks) });
    });
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  t.after(() => receiver.close());
  const at = `http://127.0.0.1:${receiver.address().port}`;
  const takes = await client.createEndpoint(tenant, { url: `${at}/takes`, types: ["order.*"] });
  const refuses = await client.createEndpoint(tenant, { url: `${at}/refuses`, retry: { final: [404] } });
  const payload = { text: "ä 😀", n: 1e2 };
  const { id } = await client.publish(tenant, { payload, type: "order.created" });
  const { headers, body } = await arrived;

  assert.equal(headers["webhook-id"], id);
  assert.deepEqual(await verifyWebhook(takes.secret, headers, body), payload);
  assert.deepEqual(await verifyWebhook([refuses.secret, takes.secret], new Headers(headers), body.toString()), payload);
  for (const [secret, changed, sent, options] of [
    [refuses.secret, headers, body],
    [takes.secret, headers, Buffer.concat([body, Buffer.from(" ")])],
    [takes.secret, { ...headers, "webhook-id": takes.id }, body],
    [takes.secret, { ...headers, "webhook-signature": undefined }, body],
    [takes.secret, headers, body, { now: Date.now() + 301_000 }],
    [takes.secret, headers, body, { now: Date.now() - 301_000 }],
  ]) {
    await assert.rejects(verifyWebhook(secret, changed, sent, options), WebhookError);
  }

  assert.deepEqual(new Set((await client.endpoints(tenant)).map((e) => e.id)), new Set([takes.id, refuses.id]));
  await client.updateEndpoint(tenant, refuses.id, { description: "refuses" });
  assert.equal((await client.getEndpoint(tenant, refuses.id)).description, "refuses");
  let letters = [];
  for (const until = limit(); letters.length === 0; until.throwIfAborted()) letters = await take(client.deadLetters(tenant), 1);
  assert.equal(letters[0].endpoint_id, refuses.id);
  assert.equal((await client.replayDeadLetters(tenant, { ids: [letters[0].id] })).replayed, 1);
  await client.deleteEndpoint(tenant, refuses.id);
  assert.ok("deleted" in (await client.purgeDeadLetters(tenant, { all: true })));
  assert.equal((await client.getMessage(tenant, id)).payload.text, payload.text);
  assert.equal((await client.updateTenant(tenant, { name: "changed" })).name, "changed");
  const seen = [];
  for await (const one of client.tenants({ limit: 2 })) seen.push(one.id);
  assert.ok(seen.includes(tenant));
});
