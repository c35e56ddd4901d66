// How it looks in both schemes and widths, what axe says, and what it weighs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, call, logIn, on, open, picture, until } from "./lib.mjs";

let token;
let traffic;
before(async () => {
  token = await logIn();
  const tenants = [];
  for (const [i, name] of ["Acme", "Beta Logistics", "Cirrus Health", "Delta Foods", "Evergreen Energy", "Foxglove Media", "Globex", "Juniper Bank", "Kite & Co", "Lumen Labs", "Northwind", "Zephyr"].entries()) {
    tenants.push(await call("POST", "/tenants", { name, ...(i % 3 === 0 ? { external_id: `customer-${4711 + i}` } : {}) }, { token }));
  }
  const [, beta, cirrus] = tenants;
  await call("POST", `/tenants/${beta.id}/endpoints`, { url: "http://127.0.0.1:9/orders", description: "orders" }, { token }); // where nobody listens
  await call("DELETE", `/consumers/${cirrus.id}`, undefined, { token });
  await call("PATCH", `/tenants/${tenants[10].id}`, { status: "inactive" }, { token });
  let round = 0;
  traffic = setInterval(() => {
    round++;
    for (const [i, tenant] of tenants.entries()) {
      if (i === 10 || (i + round) % 3 === 0) continue;
      const messages = Array.from({ length: 2 + ((i * 7 + round) % 9) }, (_, n) => ({ payload: { order: round * 10 + n } }));
      call("POST", "/messages/batch", { messages }, { token, tenant: tenant.id }).catch(() => {});
    }
  }, 250);
  await until(async () => {
    const { attention, rates } = await call("GET", "/overview", undefined, { token });
    return attention.some((a) => a.kind === "breaker_open") && attention.some((a) => a.kind === "consumer_stopped") && rates.filter((r) => r.stored > 0).length > 8;
  }, "some traffic, an endpoint that fails and a consumer that is stopped", 120000);
});
after(() => { clearInterval(traffic); });

for (const [path, heading] of [["/", "Overview"], ["/tenants", "Tenants"]]) {
  for (const scheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      test(`${heading}, ${scheme}, ${width} wide`, async () => {
        await on(path, { token, scheme, width, height: 844 }, async (page) => {
          await page.getByRole("heading", { name: heading, exact: true }).waitFor();
          await page.locator('[data-live="live"]').waitFor();
          await page.getByText("Cirrus Health").first().waitFor();
          if (path === "/") await page.locator(".chart canvas").nth(1).waitFor();
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
          await accessible(page, `${heading}, ${scheme}, ${width}`);
          await picture(page, `${heading.toLowerCase()}-${scheme}-${width}`);
        });
      });
    }
  }
}

test("the first load is small, and the second asks for nothing that it has", async () => {
  const { page, close } = await open("/login", { token });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  await cdp.send("Network.clearBrowserCache");
  let bytes = 0;
  let requests = 0;
  cdp.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  cdp.on("Network.responseReceived", () => { requests++; });
  await page.goto(`${process.env.LANEKEEPER_URL}/console/`);
  await page.locator('[data-live="live"]').waitFor();
  await page.locator(".chart canvas").first().waitFor();
  await page.waitForLoadState("networkidle").catch(() => {});
  console.log(`first load of the overview with its charts: ${requests} requests, ${(bytes / 1000).toFixed(1)} kB`);
  assert.ok(bytes < 300_000, `${bytes} bytes`);
  assert.ok(requests < 50, `${requests} requests`);

  await page.reload();
  await page.locator('[data-live="live"]').waitFor();
  await page.locator(".chart canvas").first().waitFor();
  const files = await page.evaluate(() => performance.getEntriesByType("resource").filter((e) => e.name.includes("/console/assets/")).map((e) => [e.name, e.transferSize]));
  assert.ok(files.length > 20);
  assert.deepEqual(files.filter(([, size]) => size > 0), [], "the browser has them");
  await close();
});

test("nothing is asked of another host", async () => {
  const { page, close } = await open("/login", { token });
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(`${process.env.LANEKEEPER_URL}/console/`);
  await page.locator('[data-live="live"]').waitFor();
  assert.deepEqual([...hosts], [new URL(process.env.LANEKEEPER_URL).host]);
  await close();
});
