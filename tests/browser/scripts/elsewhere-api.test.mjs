// Web pages of other origins: cors_origins names one of them, and not the other.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { call, email, logIn, on, order, password, until, url } from "./lib.mjs";

const listed = process.env.LANEKEEPER_LISTED;
const stranger = process.env.LANEKEEPER_STRANGER;

/** Runs a function in a page of another origin. */
async function at(origin, use) {
  await on("/login", { expectErrors: true }, async (page) => {
    await page.goto(origin);
    await use(page);
  });
}

/** Answers a request whose Origin is as given, which fetch would not send. */
function raw(method, path, headers) {
  return new Promise((resolve, reject) => {
    const asked = request(url + path, { method, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("a page of a listed origin logs in, publishes and streams", async () => {
  await at(listed, async (page) => {
    const got = await page.evaluate(async ({ url, email, password }) => {
      const json = { "Content-Type": "application/json" };
      const login = await (await fetch(`${url}/api/login`, { method: "POST", headers: json, body: JSON.stringify({ email, password }) })).json();
      const headers = { ...json, Authorization: `Bearer ${login.token}` };
      const made = await fetch(`${url}/api/tenants`, { method: "POST", headers: { ...headers, "Idempotency-Key": "a tenant" }, body: JSON.stringify({ name: "Elsewhere" }) });
      const tenant = (await made.json()).id;
      const of = { ...headers, "X-Tenant-ID": tenant };
      const publish = (key, payload) => fetch(`${url}/api/messages`, { method: "POST", headers: { ...of, "Idempotency-Key": key }, body: JSON.stringify({ payload }) });
      const first = await publish("one", { n: 1 });
      const again = await publish("one", { n: 1 });

      /** Reads events of a stream until there are enough. */
      const follow = async (query, more, enough) => {
        const stop = new AbortController();
        const answer = await fetch(`${url}/api/messages/stream${query}`, { headers: { ...of, Accept: "text/event-stream", ...more }, signal: stop.signal });
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        while (!enough(text)) {
          const { value, done } = await reader.read();
          if (done) break;
          text += value;
        }
        stop.abort();
        return text;
      };
      const streamed = await follow("?cursor=0", {}, (text) => text.includes('"n":1'));
      await publish("two", { n: 2 });
      const resumed = await follow("", { "Last-Event-ID": "1" }, (text) => text.includes('"n":2'));

      const problem = await fetch(`${url}/api/tenants/00000000-0000-4000-8000-000000000000`, { headers });
      const unnamed = await fetch(`${url}/api/tenants`);
      const patched = await fetch(`${url}/api/tenants/${tenant}`, { method: "PATCH", headers, body: JSON.stringify({ description: "from elsewhere" }) });
      const resized = await fetch(`${url}/api/tenants/${tenant}/config/concurrency`, { method: "PUT", headers, body: JSON.stringify({ workers: 2 }) });
      const other = (await (await fetch(`${url}/api/tenants`, { method: "POST", headers, body: JSON.stringify({ name: "To be deleted" }) })).json()).id;
      const removed = await fetch(`${url}/api/tenants/${other}`, { method: "DELETE", headers });
      return {
        made: [made.status, made.headers.get("Location")], first: first.status, replayed: again.headers.get("Idempotent-Replayed"), streamed, resumed,
        problem: [problem.status, (await problem.json()).code, problem.headers.get("X-Request-ID")], unnamed: [unnamed.status, (await unnamed.json()).code],
        changed: [patched.status, resized.status, removed.status, removed.headers.get("Lanekeeper-Discarded")],
      };
    }, { url, email, password });
    assert.equal(got.made[0], 201);
    assert.match(got.made[1], /\/tenants\//);
    assert.equal(got.first, 202);
    assert.equal(got.replayed, "true");
    assert.match(got.streamed, /id: 1\n/);
    assert.match(got.resumed, /id: 2\n/);
    assert.ok(!got.resumed.includes('"n":1'), "it goes on after what the page has seen");
    assert.deepEqual(got.problem.slice(0, 2), [404, "tenant_not_found"]);
    assert.match(got.problem[2], /^[0-9a-f-]{36}$/);
    assert.deepEqual(got.unnamed, [401, "token_missing"], "a page can read why it is refused");
    assert.deepEqual(got.changed, [200, 200, 204, "0"]);
  });
});

test("an EventSource of a listed origin comes back after the service was away", async () => {
  const token = await logIn();
  const tenant = (await call("POST", "/tenants", { name: "Streamed elsewhere" }, { token })).id;
  const publish = (n) => call("POST", "/messages", { payload: { n } }, { token, tenant });
  await publish(1);
  await at(listed, async (page) => {
    await page.evaluate(async ({ url, token, tenant }) => {
      const answer = await fetch(`${url}/api/messages/stream/tickets`, { method: "POST", headers: { Authorization: `Bearer ${token}`, "X-Tenant-ID": tenant } });
      const { ticket } = await answer.json();
      window.seen = [];
      window.source = new EventSource(`${url}/api/messages/stream?cursor=0&ticket=${ticket}`);
      window.source.addEventListener("message", (event) => window.seen.push([event.lastEventId, JSON.parse(event.data).payload.n, event.origin]));
    }, { url, token, tenant });
    const seen = (n) => until(async () => (await page.evaluate(() => window.seen)).length >= n, `${n} messages`, 60000);
    await seen(1);
    await order("stop");
    await until(() => page.evaluate(() => window.source.readyState === EventSource.CONNECTING), "the stream broke");
    await order("start");
    await publish(2);
    await seen(2);
    assert.deepEqual(await page.evaluate(() => window.seen), [["1", 1, url], ["2", 2, url]]);
  });
});

test("a page of another origin reads nothing and does nothing", async () => {
  const token = await logIn();
  const tenant = (await call("POST", "/tenants", { name: "Kept" }, { token })).id;
  await call("POST", "/messages", { payload: "secret" }, { token, tenant });
  const { ticket } = await call("POST", "/messages/stream/tickets", undefined, { token, tenant });
  await at(stranger, async (page) => {
    const got = await page.evaluate(async ({ url, email, password, token, tenant, ticket }) => {
      const tried = (path, options) => fetch(url + path, options).then(async (answer) => `${answer.type} ${answer.status} ${await answer.text()}`, (error) => error.name);
      const headers = { Authorization: `Bearer ${token}`, "X-Tenant-ID": tenant, "Content-Type": "application/json" };
      const source = new EventSource(`${url}/api/messages/stream?cursor=0&ticket=${ticket}`);
      const streamed = await new Promise((done) => {
        source.addEventListener("message", () => done("a message"));
        source.addEventListener("error", () => done("refused"));
      });
      source.close();
      return {
        login: await tried("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email, password }) }),
        read: await tried("/api/messages", { headers }),
        publish: await tried("/api/messages", { method: "POST", headers, body: '{"payload":1}' }),
        remove: await tried(`/api/tenants/${tenant}`, { method: "DELETE", headers }),
        simple: await tried("/readyz", {}),
        opaque: await tried("/readyz", { mode: "no-cors" }),
        withoutPreflight: await tried("/api/messages", { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: '{"payload":1}' }),
        streamed,
      };
    }, { url, email, password, token, tenant, ticket });
    assert.deepEqual(got, {
      login: "TypeError", read: "TypeError", publish: "TypeError", remove: "TypeError", simple: "TypeError",
      opaque: "opaque 0 ", withoutPreflight: "opaque 0 ", streamed: "refused",
    });
  });
  const history = await call("GET", "/messages", undefined, { token, tenant });
  assert.deepEqual(history.data.map((m) => m.payload), ["secret"], "nothing was published");
  assert.equal((await call("GET", `/tenants/${tenant}`, undefined, { token })).status, "active");
});

test("what preflight requests are answered", async () => {
  const asks = { "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-tenant-id,last-event-id" };
  const allowed = await raw("OPTIONS", "/api/messages", { Origin: listed, ...asks });
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers["access-control-allow-origin"], listed);
  const answer = await raw("GET", "/readyz", { Origin: listed });
  assert.equal(answer.headers["access-control-allow-origin"], listed);
  for (const { headers } of [allowed, answer]) {
    assert.ok(!JSON.stringify(Object.entries(headers).filter(([name]) => name.startsWith("access-control"))).includes("*"), "nothing is for everybody");
    assert.equal(headers["access-control-allow-credentials"], undefined);
    assert.match(headers.vary, /Origin/);
  }
  for (const origin of [stranger, url, "null", `${listed}.example.com`, listed.replace("http:", "https:")]) {
    const refused = await raw("OPTIONS", "/api/messages", { Origin: origin, ...asks });
    assert.equal(refused.status, 403, origin);
    const read = await raw("GET", "/readyz", { Origin: origin });
    for (const { headers } of [refused, read]) assert.equal(headers["access-control-allow-origin"], undefined, origin);
  }
});
