// A portal link in a frame of a product, which portal.frame_ancestors names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, call, logIn, on, picture, until, url } from "./lib.mjs";
import { contrast, towards } from "../static/parts/color.js";

const listed = process.env.LANEKEEPER_LISTED;
const stranger = process.env.LANEKEEPER_STRANGER;

async function makeLink(name, scopes = ["read"]) {
  const token = await logIn();
  const tenant = (await call("POST", "/tenants", { name }, { token })).id;
  const link = await call("POST", `/tenants/${tenant}/portal-links`, { ttl: "5m", scopes }, { token });
  return { token, tenant, link, address: `${url}/console/#portal=${link.token}` };
}

/** Shows an address in a frame of a page, as docs/portal.md says, and returns the frame. */
async function embed(page, origin, address) {
  await page.goto(origin);
  const element = await page.evaluateHandle((src) => {
    const frame = document.createElement("iframe");
    Object.assign(frame, { src, title: "Messages", referrerPolicy: "no-referrer", width: 1000, height: 600 });
    frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-downloads");
    document.body.append(frame);
    return frame;
  }, address);
  return element.contentFrame();
}

for (const scheme of ["light", "dark"]) {
  test(`a product frames the pages of one tenant, ${scheme}`, async () => {
    const { token, tenant, link, address } = await makeLink(`Framed, ${scheme}`);
    await on("/login", { scheme, expectErrors: true }, async (page) => {
      const asked = [];
      page.on("request", (request) => asked.push(request.url()));
      const frame = await embed(page, listed, address);
      await frame.locator(".portal-head", { hasText: "Acme Cloud" }).waitFor();
      await frame.waitForURL(`${url}/console/tenants/${tenant}*`);
      assert.ok(!(await frame.evaluate(() => location.href)).includes(link.token), "the token is out of the address");
      assert.equal(await frame.locator("nav[aria-label=Console]").count(), 0, "no rail");
      assert.deepEqual(asked.filter((address) => address.includes(link.token)), [], "no server was sent the token in an address");
      assert.deepEqual(asked.filter((address) => !address.startsWith(url) && !address.startsWith(listed)), [], "nothing is loaded from elsewhere");
      const colors = await frame.evaluate(() => ["--accent", "--accent-fill"].map((name) => document.documentElement.style.getPropertyValue(name)));
      assert.ok(contrast(colors[0], scheme === "dark" ? "#101114" : "#ffffff") >= 4.5, colors[0]);
      assert.ok(contrast(colors[1], "#ffffff") >= 4.5, colors[1]);
      for (const path of ["/console/", "/console/tenants", "/console/users"]) { // there is nothing else for it
        await frame.goto(url + path);
        await frame.waitForURL(`${url}/console/tenants/${tenant}*`);
      }
      await picture(page, `portal-${scheme}`);

      await call("DELETE", `/tenants/${tenant}/portal-links`, undefined, { token });
      await frame.goto(`${url}/console/`);
      await frame.getByText("This link has ended").waitFor();
    });
  });
}

test("a portal by itself is accessible", async () => {
  const { tenant, link } = await makeLink("By itself", ["read", "publish", "manage"]);
  await on(`/#portal=${link.token}`, {}, async (page) => {
    await page.locator(".portal-head", { hasText: "Acme Cloud" }).waitFor();
    await page.waitForURL(`${url}/console/tenants/${tenant}*`);
    await page.getByRole("heading", { level: 1, name: "By itself" }).waitFor();
    await accessible(page, "a portal");
  });
});

test("others frame nothing", async () => {
  const { address } = await makeLink("Not framed");
  await on("/login", { expectErrors: true }, async (page) => {
    const refused = [];
    page.on("requestfailed", (request) => refused.push(request.url()));
    const frame = await embed(page, stranger, address);
    await until(() => frame.url().startsWith("chrome-error:") || refused.length > 0, "the frame is refused");
    assert.equal(await frame.locator(".portal-head").count().catch(() => 0), 0);
  });
});

test("colours are changed until they can be read", () => {
  for (const color of ["#ffcc00", "#000000", "#ffffff", "#0a66c2", "#808080", "#ff0000"]) {
    assert.ok(contrast(towards(color, "#000000", "#ffffff"), "#ffffff") >= 4.5, color);
    assert.ok(contrast(towards(color, "#ffffff", "#101114"), "#101114") >= 4.5, color);
  }
  assert.equal(towards("#0a66c2", "#000000", "#ffffff"), "#0a66c2", "what can be read stays");
});
