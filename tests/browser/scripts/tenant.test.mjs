// A tenant's pages: messages live and past, one message, workers, publishing.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accessible, call, logIn, on, order, picture, until } from "./lib.mjs";

let token;
before(async () => { token = await logIn(); });

const api = (method, path, body, more = {}) => call(method, path, body, { token, ...more });
const newTenant = (name, more = {}) => api("POST", "/tenants", { name, ...more });
const publish = (tenant, messages) => api("POST", "/messages/batch", { messages }, { tenant });
const rowsOf = (page) => page.locator(".messages-list tbody tr:not(.spacer)");
const firstSeqs = async (page, n) => (await rowsOf(page).locator("td:first-child").allTextContents()).slice(0, n).map((t) => Number(t.replaceAll(",", "")));

/** Publishes so many, in batches, and waits until all are stored. */
async function fill(tenant, n, payload = (i) => ({ n: i })) {
  for (let from = 1; from <= n; from += 500) {
    await publish(tenant, Array.from({ length: Math.min(500, n - from + 1) }, (_, i) => ({ payload: payload(from + i), type: "order.created", ordering_key: `order-${(from + i) % 7}` })));
  }
  await until(async () => (await api("GET", "/messages?order=desc&limit=1", undefined, { tenant })).data[0]?.seq >= n, `${n} messages are stored`);
}

/** Fills in the payload of the box. */
const payload = (page, text) => page.getByLabel("Payload", { exact: true }).fill(text);

test("an empty tenant says what to do, and a message published is seen arriving", async () => {
  const tenant = await newTenant("Acme");
  await on(`/tenants/${tenant.id}`, { token }, async (page) => {
    await page.getByRole("heading", { name: "Acme" }).waitFor();
    await page.getByText(/^Flows: .*0 waiting, .*\d of \d workers/).waitFor();
    await page.getByText("No messages yet").waitFor();
    await page.locator(".code", { hasText: `X-Tenant-ID: ${tenant.id}` }).waitFor();
    await accessible(page, "an empty tenant");
    await picture(page, "tenant-empty");
    await page.emulateMedia({ colorScheme: "dark" });
    await accessible(page, "an empty tenant in the dark");
    await page.setViewportSize({ width: 390, height: 844 });
    await accessible(page, "an empty tenant, narrow");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the window");
    await page.setViewportSize({ width: 1280, height: 800 });

    await payload(page, '{"text": "hello", "id": 12345678901234567890}');
    await page.getByLabel("Type").fill("order.created");
    await page.getByLabel("Ordering key").fill("order-1842");
    await page.getByText("Headers, idempotency key").click();
    await page.getByRole("button", { name: "Add header" }).click();
    await page.getByLabel("Name of header 1").fill("source");
    await page.getByLabel("Text of header 1").fill("shop");
    await page.getByLabel("Idempotency key").fill("first");
    await page.keyboard.press("Control+Enter");
    await page.getByText(/accepted in \d+ ms, stored as 1 after \d+ ms/).waitFor();
    await until(async () => (await firstSeqs(page, 1))[0] === 1, "the message is in the list");
    assert.match(await rowsOf(page).first().textContent(), /order\.created.*order-1842.*12345678901234567890.*"hello"/s, "a large number was changed");

    // The same again is stored once.
    await page.getByLabel("Idempotency key").focus();
    await page.keyboard.press("Control+Enter");
    await page.getByText(/accepted before, stored as 1\./).waitFor();
    const stored = (await api("GET", "/messages", undefined, { tenant: tenant.id })).data;
    assert.equal(stored.length, 1);
    assert.deepEqual(stored[0].headers, { source: "shop" });
  });
});

test("what is wrong with a payload is said where it is", async () => {
  const tenant = await newTenant("Poison");
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    const selected = () => page.getByLabel("Payload", { exact: true }).evaluate((e) => e.value.slice(e.selectionStart, e.selectionEnd));
    await payload(page, '{\n  "a": 1,\n  "b": tru\n}');
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText("Line 3, column 8: This is no JSON value: text needs quotation marks.").waitFor();
    assert.equal(await selected(), "t");

    await payload(page, '{"é":\n "a\\u0000b"}');
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText(/U\+0000/).waitFor();
    await page.getByText(/is not acceptable at byte \d+ \(line 2, column \d+\)/).first().waitFor();

    await payload(page, `${"[".repeat(200)}${"]".repeat(200)}`);
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText(/must not be nested deeper than 128 levels/).waitFor();

    await payload(page, "1");
    await page.getByLabel("Type").fill("not a type");
    await page.getByRole("button", { name: "Publish" }).click();
    await until(async () => (await page.getByLabel("Type").getAttribute("aria-invalid")) === "true", "the type is marked");
    assert.equal(await page.getByLabel("Payload", { exact: true }).inputValue(), "1", "what was typed is gone");
    await page.getByText("Headers, idempotency key").click();
    await page.getByLabel("Idempotency key").fill("Schlüssel → 1");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText("must have printable ASCII characters only").first().waitFor();
    await accessible(page, "a refused message");
    await picture(page, "tenant-refused");
    assert.equal((await api("GET", "/messages", undefined, { tenant: tenant.id })).data.length, 0);
  });
});

test("workers are resized at once, and back", async () => {
  const tenant = await newTenant("Workers", { workers: 3 });
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.getByText("3 asked, 3 working").waitFor();
    const slider = page.getByRole("slider", { name: "Workers" });
    await slider.focus();
    const began = Date.now();
    for (let n = 0; n < 4; n++) await page.keyboard.press("ArrowRight");
    await page.getByText("7 asked, 7 working").waitFor();
    const took = Date.now() - began; // within a second where the machine does nothing else
    assert.ok(took < 3000, `it took ${took} ms`);
    assert.equal((await api("GET", `/tenants/${tenant.id}`)).workers, 7);
    await page.locator(".outcome", { hasText: "Workers has 7 workers, and had 3." }).getByRole("button", { name: "Undo" }).click();
    await page.getByText("3 asked, 3 working").waitFor();
    assert.equal((await api("GET", `/tenants/${tenant.id}`)).workers, 3);

    // Changed in another tab: it follows.
    await api("PUT", `/tenants/${tenant.id}/config/concurrency`, { workers: 12 });
    await page.getByText("12 asked, 12 working").waitFor();
  });
});

test("a stream that is lost comes back and misses nothing", async () => {
  const tenant = await newTenant("Lost");
  await fill(tenant.id, 3);
  await on(`/tenants/${tenant.id}/messages`, { token, expectErrors: true }, async (page) => {
    await page.locator('.stream-dot[data-live="live"]').waitFor();
    await order("stop");
    await page.locator('.stream-dot[data-live="late"], .stream-dot[data-live="lost"]').waitFor();
    assert.deepEqual(await firstSeqs(page, 3), [3, 2, 1], "what was known is gone");
    await order("start");
    await page.locator('.stream-dot[data-live="live"]').waitFor({ timeout: 30_000 });
    token = await logIn();
    await fill(tenant.id, 5);
    await until(async () => (await firstSeqs(page, 8)).join() === "8,7,6,5,4,3,2,1", "all messages are there, each once");
  });
});

test("new messages wait while the list is read", async () => {
  const tenant = await newTenant("Reading");
  await fill(tenant.id, 5);
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await until(async () => (await firstSeqs(page, 1))[0] === 5, "the list is there");
    await page.locator('.stream-dot[data-live="live"]').waitFor();
    await rowsOf(page).nth(2).hover();
    await publish(tenant.id, Array.from({ length: 12 }, (_, n) => ({ payload: n })));
    await page.getByRole("button", { name: "12 new" }).waitFor();
    assert.deepEqual(await firstSeqs(page, 2), [5, 4], "rows moved under the pointer");
    await page.getByRole("button", { name: "12 new" }).click();
    await until(async () => (await firstSeqs(page, 1))[0] === 17, "the new ones are shown");
  });
});

test("the history is paged both ways, from an address that can be shared", async () => {
  const tenant = await newTenant("History");
  await fill(tenant.id, 230);
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    const at = async (first, last, what) => {
      await until(async () => (await firstSeqs(page, 1))[0] === first, what);
      const seqs = await firstSeqs(page, 1000);
      assert.equal(seqs.at(-1), last, what);
      for (let n = 1; n < seqs.length; n++) assert.equal(seqs[n], seqs[n - 1] - 1, `${what} has a hole`);
    };
    const press = (name) => page.getByRole("button", { name, exact: true }).click();
    await at(230, 181, "the newest");
    await press("Older");
    await at(180, 131, "the second page");
    await page.getByText("180 to 131 of 230").or(page.getByText("180 to 131")).first().waitFor();
    await press("Older");
    await at(130, 81, "the third page");
    await press("Newer");
    await at(180, 131, "the second page again");
    await page.goBack();
    await at(130, 81, "the page before it");

    await page.getByRole("searchbox").fill("60");
    await page.keyboard.press("Enter");
    await at(60, 11, "the page of a seq");
    await page.reload();
    await at(60, 11, "the same after loading again");
    await accessible(page, "the history");
    await press("Older");
    await at(10, 1, "the last page");
    assert.ok(await page.getByRole("button", { name: "Older", exact: true }).isDisabled());
    for (let n = 0; n < 5; n++) {
      await press("Newer");
      await page.waitForTimeout(150);
    }
    await at(230, 181, "live again");
    assert.equal(new URL(page.url()).search, "");

    // By id, and by nobody's id.
    const [some] = (await api("GET", "/messages?cursor=41&limit=1", undefined, { tenant: tenant.id })).data;
    await page.getByRole("searchbox").fill(some.id);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Message 42" }).waitFor();
    await press("Older");
    await page.getByRole("heading", { name: "Message 41" }).waitFor();
  });
});

test("markup and turned writing are text", async () => {
  const evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
  const tenant = await newTenant(`${evil}\u05d0\u05d1`.slice(0, 190), { description: evil, external_id: "a<b>&\"'c" });
  await publish(tenant.id, [{ payload: { [evil]: `${evil}\u202egnp.exe`, ["z".repeat(99)]: JSON.parse(`${"[".repeat(120)}1${"]".repeat(120)}`) }, headers: { note: evil } }]);
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await rowsOf(page).first().waitFor();
    assert.match(await rowsOf(page).first().textContent(), /<img src=x/);
    await rowsOf(page).first().click();
    await page.getByRole("heading", { name: "Message 1" }).waitFor();
    await page.getByText("\\u202egnp.exe").first().waitFor();
    await page.getByText('onerror="window.pwned=1"').first().waitFor();
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.locator("main img, main script").count(), 0);
    await accessible(page, "a message of markup");
  });
});

test("a message of 1 MiB neither freezes the list nor its page", async () => {
  const tenant = await newTenant("Large");
  const items = Array.from({ length: 9_000 }, (_, n) => ({ n, text: "x".repeat(90) }));
  await publish(tenant.id, [{ payload: items }]);
  await publish(tenant.id, [{ payload: "y".repeat((1 << 20) - 2) }]);
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.evaluate(() => {
      window.longest = 0;
      new PerformanceObserver((list) => { for (const e of list.getEntries()) window.longest = Math.max(window.longest, e.duration); }).observe({ type: "longtask" });
    });
    await until(async () => (await rowsOf(page).count()) === 2, "both are in the list");
    const [large] = (await api("GET", "/messages?limit=1", undefined, { tenant: tenant.id })).data;
    await page.locator(`a[href$="${large.id}"]`).click();
    await page.getByText(/^The first 64 KiB of /).waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByText("9000 items").waitFor();
    await page.getByRole("button", { name: "Unfold" }).first().click();
    await page.getByText("8900 more").waitFor();
    const { longest, elements } = await page.evaluate(() => ({ longest: window.longest, elements: document.querySelectorAll("*").length }));
    assert.ok(elements < 5_000, `${elements} elements`);
    assert.ok(longest < 3_000, `the page stood still for ${longest} ms`);
  });
});

test("a change elsewhere is neither lost nor thrown over", async () => {
  const tenant = await newTenant("Two tabs", { description: "as it was", metadata: { a: "1", b: "2" } });
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog");
    await accessible(page, "the dialog that edits");
    await picture(page, "tenant-edit");
    await dialog.getByLabel("Name", { exact: true }).fill("Changed here");
    await dialog.getByRole("button", { name: "Remove metadata 2" }).click();
    await api("PATCH", `/tenants/${tenant.id}`, { description: "changed elsewhere", metadata: { c: "3" } });
    await dialog.getByText("Changed elsewhere meanwhile: description.").waitFor();
    assert.equal(await dialog.getByLabel("Name", { exact: true }).inputValue(), "Changed here");
    assert.equal(await dialog.getByLabel("Description").inputValue(), "as it was");
    await dialog.getByRole("button", { name: "Take over" }).click();
    await until(async () => (await dialog.getByLabel("Description").inputValue()) === "changed elsewhere", "the change is taken over");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Changed here" }).waitFor();
    const now = await api("GET", `/tenants/${tenant.id}`);
    assert.deepEqual([now.name, now.description, now.metadata], ["Changed here", "changed elsewhere", { a: "1", c: "3" }]);

    // What the service refuses stands by its field, and what was typed stays.
    await page.getByRole("button", { name: "Edit" }).click();
    await dialog.getByLabel("External id").fill("x".repeat(300));
    await dialog.getByRole("button", { name: "Save" }).click();
    await until(async () => (await dialog.getByLabel("External id").getAttribute("aria-invalid")) === "true", "the field is marked");
    await dialog.getByRole("button", { name: "Cancel" }).click();
  });
});

test("a consumer is stopped, and started by the way back", async () => {
  const tenant = await newTenant("Stopped");
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByRole("button", { name: "Start", exact: true }).waitFor();
    assert.equal((await api("GET", `/tenants/${tenant.id}`)).stopped, true);
    await payload(page, "1");
    await page.keyboard.press("Control+Enter");
    await page.getByText(/accepted in .*, on its way/).waitFor();
    await page.getByRole("button", { name: "Start it again" }).click();
    await page.getByText(/stored as 1 after/).waitFor();
    assert.equal((await api("GET", `/tenants/${tenant.id}`)).stopped, false);
  });
});

test("a tenant that is deleted under an open page is said to be", async () => {
  const tenant = await newTenant("Short-lived");
  await on(`/tenants/${tenant.id}/messages`, { token }, async (page) => {
    await page.getByRole("heading", { name: "Short-lived" }).waitFor();
    await api("DELETE", `/tenants/${tenant.id}`);
    await page.getByText("This tenant was deleted.").waitFor();
    await accessible(page, "a deleted tenant");
  });
  const mine = await newTenant("Deleted here");
  await on(`/tenants/${mine.id}/messages`, { token }, async (page) => {
    await page.getByRole("button", { name: "More actions" }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("Deleted here");
    await page.getByRole("dialog").getByRole("button", { name: /^Delete it/ }).click();
    await page.waitForURL(/\/console\/tenants$/);
    await page.locator(".outcome", { hasText: "Deleted here is deleted" }).waitFor();
  });
});

test("a clock that is off by hours changes no age", async () => {
  const tenant = await newTenant("Clock");
  await fill(tenant.id, 1);
  for (const off of [-5 * 3600_000, 7 * 3600_000]) {
    await on("/tenants", { token }, async (page) => {
      await page.addInitScript((ms) => {
        const now = Date.now.bind(Date);
        Date.now = () => now() + ms;
      }, off);
      await page.goto(page.url().replace(/tenants$/, `tenants/${tenant.id}/messages`));
      await rowsOf(page).first().waitFor();
      await until(async () => /^(now|\d+(\.\d)? s ago|[1-5] min ago)$/.test((await rowsOf(page).first().locator("time").textContent()).trim()), `the age is told by the service's clock, ${off} ms away`);
    });
  }
});
