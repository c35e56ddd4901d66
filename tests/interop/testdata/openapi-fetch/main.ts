// Goes through the main flow with openapi-fetch and the types that openapi-typescript made
// of openapi.json, in lane.d.ts beside it.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./lane.d.ts";

const baseUrl = process.env.BASE_URL!;
const login = await createClient<paths>({ baseUrl }).POST("/login", {
  body: { email: process.env.EMAIL!, password: process.env.PASSWORD! },
});
const headers = { Authorization: `Bearer ${login.data!.token}` };
const client = createClient<paths>({ baseUrl, headers });

const created = await client.POST("/tenants", { body: { name: "Generated" } });
const tenant = created.data!.id;
const ofTenant = { "X-Tenant-ID": tenant };

const stream = await client.GET("/messages/stream", {
  params: { header: ofTenant, query: { cursor: "0" } },
  parseAs: "stream",
});

const publish = (text: string, key: string) =>
  client.POST("/messages", {
    params: { header: { ...ofTenant, "Idempotency-Key": key } },
    body: { payload: { text }, type: "order.created" },
  });
const first = await publish("one", "key-1");
const again = await publish("one", "key-1");
assert.equal(again.data!.id, first.data!.id);
assert.equal(again.response.headers.get("Idempotent-Replayed"), "true");
const other = await publish("another", "key-1");
assert.equal(other.error!.code, "idempotency_key_reused" satisfies NonNullable<typeof other.error>["code"]);
const batch = await client.POST("/messages/batch", {
  params: { header: ofTenant },
  body: { messages: [{ payload: 2 }, { payload: null }] },
});
assert.equal(batch.data!.accepted, 2);

let text = "";
const reader = stream.data!.pipeThrough(new TextDecoderStream()).getReader();
while (text.split("\ndata:").length < 4) {
  const { value, done } = await reader.read();
  assert.ok(!done, "the stream ended");
  text += value;
}
await reader.cancel();

const history = await client.GET("/messages", { params: { header: ofTenant, query: { limit: 2 } } });
assert.equal(history.data!.data.length, 2);
const rest = await client.GET("/messages", { params: { header: ofTenant, query: { cursor: history.data!.next_cursor } } });
assert.deepEqual(rest.data!.data.map((m) => m.seq), [3]);

const deleted = await client.DELETE("/tenants/{id}", { params: { path: { id: tenant } } });
assert.equal(deleted.response.status, 204);
const gone = await client.GET("/tenants/{id}", { params: { path: { id: tenant } } });
assert.equal(gone.error!.code, "tenant_not_found");
console.log("all done");
