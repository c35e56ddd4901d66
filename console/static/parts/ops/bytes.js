// @ts-check
// Bodies as they were received: JSON, text, or bytes that are neither.

import { Copy } from "../basics.js";
import { html, useMemo } from "../html.js";
import { JsonView } from "../json.js";
import { counted, visible } from "../format.js";

/** How much of a body that is no JSON is shown, in bytes. */
const shownText = 64 << 10;
const shownBytes = 4 << 10;

/**
 * The bytes of base64.
 * @param {string} base64
 */
export function decode(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/**
 * The text of bytes; undefined when they are no UTF-8.
 * @param {Uint8Array} bytes
 */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Bytes in lines of 16: place, hexadecimal, and what of them is ASCII.
 * @param {Uint8Array} bytes
 */
export function hexLines(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const ascii = part.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${ascii}`);
  }
  return lines.join("\n");
}

/**
 * A body: of JSON its value, else its base64.
 * @param {object} props
 * @param {unknown} [props.value]
 * @param {string} [props.base64]
 */
export function Body({ value, base64 }) {
  const raw = useMemo(() => (base64 === undefined ? undefined : decode(base64)), [base64]);
  if (raw === undefined) return html`<${JsonView} value=${value} />`;
  if (raw.length === 0) return html`<p class="quiet">It has no body.</p>`;
  const text = textOf(raw);
  const limit = text === undefined ? shownBytes : shownText;
  const part = raw.length > limit ? `, of which the first ${counted(limit, "byte")} are shown` : "";
  const what = text === undefined ? "no text" : "text that is not JSON";
  return html`<div class="raw">
    <p class="quiet">
      ${counted(raw.length, "byte")} of ${what}${part}.
      <${Copy} text=${text ?? base64} label=${text === undefined ? "Copy as base64" : "Copy"} />
    </p>
    <pre tabindex="0">${text === undefined ? hexLines(raw.subarray(0, limit)) : visible(text.slice(0, limit))}</pre>
  </div>`;
}
