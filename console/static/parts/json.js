// @ts-check
// JSON from elsewhere: shown as text, never run, never a link.
import { parse } from "../api.js";
import { Button, Copy } from "./basics.js";
import { bytes as sizeOf, visible } from "./format.js";
import { html, useMemo, useState } from "./html.js";

/** From how many bytes on only the beginning is shown. */
const whole = 64 * 1024;
/** How many members of one object or list are shown at a time. */
const step = 100;

/**
 * A payload, folded and unfolded. It is given as text or as a value; bytes is its size,
 * where that is known to be another.
 * @param {{value?: any, text?: string, bytes?: number, label?: string}} props
 */
export function JsonView({ value = undefined, text = undefined, bytes = undefined, label = "Payload" }) {
  const source = useMemo(() => text ?? JSON.stringify(value, null, 2) ?? "", [text, value]);
  const size = bytes ?? source.length;
  const parsed = useMemo(() => {
    if (text === undefined) return { value };
    try {
      return { value: parse(text) };
    } catch {
      return null; // it is text
    }
  }, [text, value]);
  const [raw, setRaw] = useState(false);
  const [all, setAll] = useState(false);
  const long = source.length > whole && !all;
  const asText = raw || !parsed || long;
  return html`<figure class="json" aria-label=${label}>
    <figcaption><span>${label}</span><span class="muted">${sizeOf(size)}</span><span class="push"></span>
      ${parsed && !long && html`<${Button} kind="quiet" aria-pressed=${raw ? "true" : "false"} onClick=${() => setRaw(!raw)}>Raw<//>`}
      <${Copy} text=${source} label="Copy all" /></figcaption>
    <div class="json-body" tabindex="0" role="region" aria-label=${label}>
      ${asText ? html`<pre>${visible(long ? source.slice(0, whole) : source)}</pre>` : html`<${Node} value=${parsed.value} depth=${0} last=${true} />`}
    </div>
    ${long && html`<p class="json-part">The first ${sizeOf(whole)} of ${sizeOf(size)}.
      <${Button} kind="quiet" onClick=${() => setAll(true)}>Show all<//></p>`}
  </figure>`;
}

function isRaw(/** @type {any} */ value) {
  const check = /** @type {any} */ (JSON).isRawJSON;
  return check ? check(value) : false;
}

function Node({ name = undefined, value, depth, last }) {
  const nested = value !== null && typeof value === "object" && !isRaw(value);
  const keys = nested ? Object.keys(value) : [];
  const [open, setOpen] = useState(depth < 3 && keys.length <= step);
  const [shown, setShown] = useState(step);
  const head = name !== undefined && html`<span class="json-key">${visible(JSON.stringify(name))}</span>: `;
  const comma = last ? "" : ",";
  if (!nested) return html`<div class="json-line">${head}<${Scalar} value=${value} />${comma}</div>`;
  const list = Array.isArray(value);
  const [begin, end] = list ? "[]" : "{}";
  if (keys.length === 0) return html`<div class="json-line">${head}${begin}${end}${comma}</div>`;
  const fold = html`<button type="button" class="json-fold" aria-expanded=${open ? "true" : "false"}
    aria-label=${open ? "Fold" : "Unfold"} onClick=${() => setOpen(!open)}></button>`;
  if (!open) {
    return html`<div class="json-line">${fold}${head}${begin}<button type="button" class="json-more" onClick=${() => setOpen(true)}>
      ${keys.length} ${list ? (keys.length === 1 ? "item" : "items") : keys.length === 1 ? "member" : "members"}</button>${end}${comma}</div>`;
  }
  return html`<div><div class="json-line">${fold}${head}${begin}</div>
    <div class="json-nest" data-deep=${depth > 12 ? "" : undefined}>
      ${keys.slice(0, shown).map((key, i) => html`<${Node} key=${key} name=${list ? undefined : key} value=${value[key]} depth=${depth + 1} last=${i === keys.length - 1} />`)}
      ${keys.length > shown && html`<button type="button" class="json-more" onClick=${() => setShown(shown + 10 * step)}>${keys.length - shown} more</button>`}
    </div><div class="json-line">${end}${comma}</div></div>`;
}

function Scalar({ value }) {
  if (typeof value !== "string") return html`<span class="json-plain">${JSON.stringify(value)}</span>`;
  return html`<span class="json-text">${visible(JSON.stringify(value))}</span>`;
}
