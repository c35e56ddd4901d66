// @ts-check
// Where a JSON text goes wrong, by line and column, so that a form can point there.

/**
 * @typedef {object} Place
 * @property {number} at the index in the text
 * @property {number} line from 1
 * @property {number} column from 1, in characters as JavaScript counts them
 */

/** How deep values may be nested here; the service takes less. */
const maxDepth = 1_000;

const literal = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const space = /[ \t\n\r]*/y;

/**
 * What is wrong with a JSON text and where; null when it is JSON. It goes through the text
 * once, and holds no more than what is open.
 * @param {string} text
 * @returns {(Place & {message: string}) | null}
 */
export function mistakeIn(text) {
  /** @type {("[" | "{")[]} */
  const open = [];
  let at = 0;
  /** @type {"value" | "item" | "key" | "member" | "after"} */
  let expect = "value"; // item and member: the same as value and key, or the end of what is open

  /** @param {RegExp} pattern */
  const skip = (pattern) => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  /** @param {string} message */
  const wrong = (message) => ({ ...placeOf(text, at), message });

  for (;;) {
    skip(space);
    const c = text[at];
    const inner = open.at(-1);
    if (expect === "after") {
      if (inner === undefined) return c === undefined ? null : wrong("There is something after the end of the value.");
      const close = inner === "[" ? "]" : "}";
      if (c === close) {
        open.pop();
        at++;
      } else if (c === ",") {
        expect = inner === "[" ? "value" : "key";
        at++;
      } else return wrong(c === undefined ? `It ends before the “${close}”.` : `A comma or “${close}” is expected here.`);
    } else if (expect === "key" || expect === "member") {
      if (c === "}" && expect === "member") {
        open.pop();
        at++;
        expect = "after";
        continue;
      }
      if (c !== '"' || !skip(string)) return wrong(c === '"' ? "This text has no end, or a character that must be escaped." : "A name in quotation marks is expected here.");
      skip(space);
      if (text[at] !== ":") return wrong("A colon is expected here.");
      at++;
      expect = "value";
    } else if (c === "]" && expect === "item") {
      open.pop();
      at++;
      expect = "after";
    } else if (c === "[" || c === "{") {
      if (open.length >= maxDepth) return wrong("It is nested too deeply.");
      open.push(c);
      at++;
      expect = c === "[" ? "item" : "member";
    } else if (c === '"') {
      if (!skip(string)) return wrong("This text has no end, or a character that must be escaped.");
      expect = "after";
    } else if (c !== undefined && skip(literal)) {
      expect = "after";
    } else return wrong(c === undefined ? "A value is expected here." : "This is no JSON value: text needs quotation marks.");
  }
}

/**
 * The place of an index.
 * @param {string} text
 * @param {number} at
 * @returns {Place}
 */
export function placeOf(text, at) {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", start)) {
    line++;
    start = end + 1;
  }
  return { at, line, column: at - start + 1 };
}

/**
 * The place of a byte of the text as UTF-8, which is how the service counts.
 * @param {string} text
 * @param {number} byte
 * @returns {Place}
 */
export function placeOfByte(text, byte) {
  let left = byte;
  let at = 0;
  while (at < text.length && left > 0) {
    const point = /** @type {number} */ (text.codePointAt(at));
    left -= point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    at += point < 0x10000 ? 1 : 2;
  }
  return placeOf(text, Math.min(at, text.length));
}
