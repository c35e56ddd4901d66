// What the pages of a tenant are made of, without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";

const parts = new URL("../static/parts/tenant/", import.meta.url);
const { mistakeIn, placeOfByte } = await import(new URL("json-place.js", parts));
const { preview } = await import(new URL("preview.js", parts));
const { LiveList } = await import(new URL("live-list.js", parts));
const { ServerClock } = await import(new URL("../../clock.js", parts));

/** Numbers that look random and are the same each time. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state % below;
  };
}

test("a JSON text is taken exactly when JSON.parse takes it", () => {
  const pieces = ["{", "}", "[", "]", ",", ":", '"', '"a"', "1", "0", "-", ".5", "e3", "true", "nul", "l", " ", "\n", "\\", "\\n", "\\u00e9", "é"];
  const next = numbers(1);
  for (let n = 0; n < 100_000; n++) {
    const text = Array.from({ length: next(9) }, () => pieces[next(pieces.length)]).join("");
    let valid = true;
    try {
      JSON.parse(text);
    } catch {
      valid = false;
    }
    assert.equal(mistakeIn(text) === null, valid, JSON.stringify(text));
  }
});

test("a mistake has its line and column", () => {
  const mistake = mistakeIn('{\n  "a": 1,\n  "b": tru\n}');
  assert.deepEqual([mistake.line, mistake.column], [3, 8]);
  assert.deepEqual([mistakeIn('{"a":1}}').line, mistakeIn('{"a":1}}').column], [1, 8]);
  assert.equal(mistakeIn("[".repeat(200_000)).message, "It is nested too deeply.");
});

test("a byte is found behind characters of several bytes", () => {
  const text = '{"é€😀":\n"x"}';
  const byte = Buffer.from('{"é€😀":\n"').length;
  const place = placeOfByte(text, byte);
  assert.equal(text[place.at], "x");
  assert.deepEqual([place.line, place.column], [2, 2]);
  assert.equal(placeOfByte(text, 1_000).at, text.length);
});

test("a preview is JSON where it fits, and reads no more than it shows", () => {
  for (const value of [null, 1, "a", [], {}, [1, { a: ["b"] }], { a: { b: null }, c: "\"" }]) {
    assert.equal(preview(value), JSON.stringify(value));
  }
  let read = 0;
  const endless = new Proxy([], { get: (_, key) => (key === Symbol.iterator ? function* () { for (;;) { read++; yield 1; } } : Reflect.get([], key)) });
  assert.equal(preview(endless, 20).length, 21);
  assert.ok(read < 30, `${read} items were read`);
  const long = preview("x".repeat(1 << 20), 40);
  assert.equal(long, `"${"x".repeat(39)}…`);
});

test("a preview hides nothing", () => {
  assert.equal(preview("a\u202eb\u0000"), '"a\\u202eb\\u0000"');
});

const message = (seq) => ({ id: `m${seq}`, seq, payload: { seq }, created_at: "2026-12-01T00:00:00Z" });

test("a list has a bound, newest first, and stands still while it is held", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  let drawn = 0;
  const list = new LiveList(5, () => drawn++);
  list.begin([message(2), message(1)]);
  list.add(message(3));
  t.mock.timers.tick(1_000);
  assert.deepEqual(list.rows.map((r) => r.seq), [3, 2, 1]);

  list.hold(true);
  for (let seq = 4; seq <= 1_003; seq++) list.add(message(seq));
  t.mock.timers.tick(1_000);
  assert.deepEqual(list.rows.map((r) => r.seq), [3, 2, 1], "it moved under who reads it");
  assert.equal(list.waiting, 1_000);
  list.hold(false);
  assert.deepEqual(list.rows.map((r) => r.seq), [1_003, 1_002, 1_001, 1_000, 999]);
  assert.equal(list.waiting, 0);
});

test("a list is drawn a few times a second, however much comes", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  let drawn = 0;
  const list = new LiveList(50, () => drawn++);
  for (let ms = 0, seq = 1; ms < 2_000; ms += 2) {
    list.add(message(seq++));
    t.mock.timers.tick(2);
  }
  assert.ok(drawn <= 11, `drawn ${drawn} times in 2 s`);
  assert.equal(Math.round(list.rate), 250); // 1,000 of them in 4 s
});

test("the service's clock is found from whole seconds", () => {
  for (const ahead of [-3_600_000, -2_345, 0, 1_777, 86_400_123]) {
    const clock = new ServerClock();
    const next = numbers(7);
    let at = 1_800_000_000_000;
    for (let n = 0; n < 60; n++) {
      const took = 4 + next(30);
      const second = Math.floor((at + took / 2 + ahead) / 1000) * 1000;
      clock.observe(second, at, at + took);
      at += 2_000 + next(333);
    }
    assert.ok(Math.abs(clock.offset - ahead) < 60, `${ahead} was taken for ${clock.offset}`);
  }
});

test("a clock that is set is believed", () => {
  const clock = new ServerClock();
  for (let n = 0; n < 30; n++) clock.observe(Math.floor((n * 2_100) / 1000) * 1000, n * 2_100, n * 2_100 + 10);
  assert.equal(clock.offset, 0);
  clock.observe(7_200_000, 100_000, 100_010);
  assert.ok(Math.abs(clock.offset - 7_100_500) < 600, String(clock.offset));
});
