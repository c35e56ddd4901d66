// A page that is open for long takes no more memory than at first.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, logIn, on } from "./lib.mjs";

/** How often is asked in ten minutes. */
const polls = 300;

for (const [path, asked] of [["/", "/api/overview"], ["/tenants", "/api/overview/tenants"]]) {
  test(`ten minutes of ${path === "/" ? "the overview" : path}`, async () => {
    const token = await logIn();
    for (let i = 0; i < 12; i++) await call("POST", "/tenants", { name: `Tenant ${i}` }, { token });
    await on(path, { token }, async (page) => {
      await page.locator('[data-live="live"]').waitFor();
      if (path === "/") await page.locator(".chart canvas").nth(1).waitFor();
      const cdp = await page.context().newCDPSession(page);
      const used = async () => {
        await cdp.send("HeapProfiler.collectGarbage");
        const { usedSize } = await cdp.send("Runtime.getHeapUsage");
        return { bytes: usedSize, nodes: (await cdp.send("Memory.getDOMCounters")).nodes };
      };
      // A page that comes into view again asks at once: so the polls of minutes take seconds.
      const poll = (n) => page.evaluate(async ([times, part]) => {
        const answered = () => performance.getEntriesByType("resource").filter((e) => new URL(e.name).pathname === part).length;
        performance.setResourceTimingBufferSize(100000);
        for (let i = 0; i < times; i++) {
          const before = answered();
          document.dispatchEvent(new Event("visibilitychange"));
          const end = Date.now() + 5000;
          while (answered() === before && Date.now() < end) await new Promise((done) => { setTimeout(done, 5); });
          if (answered() === before) throw new Error("no answer");
          await new Promise((done) => { requestAnimationFrame(done); });
        }
        performance.clearResourceTimings();
      }, [n, asked]);
      await poll(60);
      const before = await used();
      await poll(polls);
      const after = await used();
      console.log(`${path}: ${(before.bytes / 1e6).toFixed(2)} MB and ${before.nodes} nodes, after ${polls} answers ${(after.bytes / 1e6).toFixed(2)} MB and ${after.nodes}`);
      assert.ok(after.bytes < before.bytes + 1_000_000, `${after.bytes - before.bytes} bytes more`);
      assert.ok(after.nodes < before.nodes + 200, `${after.nodes - before.nodes} nodes more`);
    });
  });
}
