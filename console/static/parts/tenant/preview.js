// @ts-check
// The beginning of a payload in one line. It reads no more of the payload than it shows,
// so that a list of payloads of 1 MiB costs no more than one of short ones.

import { visible } from "../format.js";

/** Whether a value is a number that JavaScript has no exact value for, kept as text. @param {object} v */
const isRaw = (v) => /** @type {any} */ (JSON).isRawJSON?.(v) === true;

/**
 * The first characters of a JSON value as text.
 * @param {unknown} value
 * @param {number} [limit] in characters, about
 */
export function preview(value, limit = 160) {
  /** @type {string[]} */
  const pieces = [];
  let left = limit;
  let cut = false;

  /** @param {string} text */
  const put = (text) => {
    pieces.push(text);
    left -= text.length;
  };
  const full = () => (cut ||= left <= 0);
  /** @param {string} text */
  const putText = (text) => {
    const part = text.length > left ? text.slice(0, Math.max(left, 0) + 1) : text;
    const quoted = JSON.stringify(part);
    put(part.length < text.length ? quoted.slice(0, -1) : quoted);
  };
  /** @param {unknown} v */
  const write = (v) => {
    if (typeof v === "string") return putText(v);
    if (v === null || typeof v !== "object") return put(String(v));
    if ("rawJSON" in v && isRaw(v)) return put(String(v.rawJSON));
    let first = true;
    if (Array.isArray(v)) {
      put("[");
      for (const item of v) {
        if (full()) return;
        if (!first) put(",");
        first = false;
        write(item);
      }
      return put("]");
    }
    put("{");
    for (const key in v) {
      if (full()) return;
      if (!first) put(",");
      first = false;
      putText(key);
      put(":");
      write(/** @type {Record<string, unknown>} */ (v)[key]);
    }
    put("}");
  };

  write(value);
  const text = visible(pieces.join(""));
  return cut || text.length > limit ? `${text.slice(0, limit)}…` : text;
}
