// A stream that is looked at for long takes no more memory than at first.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, logIn, on, until } from "./lib.mjs";

/** How many messages come before one measures, and how many after. */
const first = 4_000;
const more = 12_000;

test("a stream of many messages", async (t) => {
  const token = await logIn();
  const tenant = await call("POST", "/tenants", { name: "Busy", workers: 8 }, { token });
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.locator('.stream-dot[data-live="live"]').waitFor();
    const cdp = await page.context().newCDPSession(page);
    const used = async () => {
      await cdp.send("HeapProfiler.collectGarbage");
      return { bytes: (await cdp.send("Runtime.getHeapUsage")).usedSize, nodes: (await cdp.send("Memory.getDOMCounters")).nodes };
    };
    const newest = () => page.locator(".messages-list tbody tr:first-child td:first-child").textContent().then((text) => Number(text.replaceAll(",", "")), () => 0);
    let sent = 0;
    const publish = async (n) => {
      for (const end = sent + n; sent < end; sent += 500) {
        await call("POST", "/messages/batch", { messages: Array.from({ length: 500 }, (_, i) => ({ payload: { n: sent + i, text: "x".repeat(300) } })) }, { token, tenant: tenant.id });
      }
      await until(async () => (await newest()) === sent, "the newest is shown", 60_000);
      assert.ok((await page.locator(".messages-list tbody tr").count()) <= 50);
    };
    await publish(first);
    const early = await used();
    await publish(first);
    const before = await used();
    const began = Date.now();
    await publish(more);
    const seconds = (Date.now() - began) / 1000;
    const after = await used();
    t.diagnostic(`${Math.round(more / seconds)} messages a second; ${early.nodes} nodes, ${(before.bytes / 1e6).toFixed(2)} MB and ${before.nodes} nodes, then ${(after.bytes / 1e6).toFixed(2)} MB and ${after.nodes}`);
    assert.ok(after.bytes < before.bytes + 1_500_000, `${after.bytes - before.bytes} bytes more`);
    assert.ok(after.nodes < before.nodes + 400, `${after.nodes - before.nodes} nodes more`);
  });
});
