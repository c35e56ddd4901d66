// @ts-check
// The form of an endpoint: all that can be said of one, made or changed.

import { Button, Field, ProblemView } from "../basics.js";
import { html, useState } from "../html.js";

/** @typedef {import("../../types/api").Endpoint} Endpoint */
/** @typedef {Record<string, string>} Values what stands in the fields */

/**
 * What stands in the fields for an endpoint; without one, those of a new one.
 * @param {Endpoint} [e]
 * @returns {Values}
 */
export function valuesOf(e) {
  return {
    url: e?.url ?? "",
    description: e?.description ?? "",
    external_id: e?.external_id ?? "",
    types: (e?.types ?? []).join("\n"),
    timeout_ms: e ? String(e.timeout_ms) : "",
    concurrency: e?.concurrency ? String(e.concurrency) : "",
    rate: e?.rate ? String(e.rate) : "",
    ordering: e?.ordering ?? "none",
    on_failure: e?.on_failure ?? "block",
    schedule: (e?.retry.schedule ?? []).join(", "),
    final: (e?.retry.final ?? []).join(", "),
    headers: Object.entries(e?.headers ?? {}).map(([name, value]) => `${name}: ${value}`).join("\n"),
    secret: "",
    from_seq: "",
  };
}

const words = (/** @type {string} */ text) => text.split(/[\s,]+/).filter(Boolean);
const number = (/** @type {string} */ text) => (text.trim() === "" ? null : Number(text));

/**
 * The headers of lines "name: value".
 * @param {string} text
 */
export function headersOf(text) {
  /** @type {Record<string, string | null>} */
  const headers = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (line.trim() !== "") headers[(colon < 0 ? line : line.slice(0, colon)).trim()] = colon < 0 ? "" : line.slice(colon + 1).trim();
  }
  return headers;
}

/** How the value of each field goes into a body. */
const members = {
  url: (/** @type {Values} */ v) => v.url.trim(),
  description: (/** @type {Values} */ v) => v.description,
  external_id: (/** @type {Values} */ v) => v.external_id.trim() || null,
  types: (/** @type {Values} */ v) => words(v.types),
  timeout_ms: (/** @type {Values} */ v) => number(v.timeout_ms),
  concurrency: (/** @type {Values} */ v) => number(v.concurrency),
  rate: (/** @type {Values} */ v) => number(v.rate),
  ordering: (/** @type {Values} */ v) => v.ordering,
};

/**
 * The body of a call: of a new endpoint all that was filled in, of another one what
 * differs from what it was.
 * @param {Values} values
 * @param {Values} before
 * @param {boolean} fresh
 */
export function bodyOf(values, before, fresh) {
  /** @type {Record<string, unknown>} */
  const body = {};
  const changed = (/** @type {string} */ name) => values[name] !== before[name];
  for (const [name, read] of Object.entries(members)) if (changed(name)) body[name] = read(values);
  if (values.ordering === "fifo" && (changed("on_failure") || changed("ordering"))) body.on_failure = values.on_failure;
  if (changed("schedule") || changed("final")) {
    const retry = /** @type {Record<string, unknown>} */ ({});
    if (changed("schedule")) retry.schedule = values.schedule.trim() === "" ? null : words(values.schedule);
    if (changed("final")) retry.final = values.final.trim() === "" ? null : words(values.final).map(Number);
    body.retry = retry;
  }
  if (changed("headers")) {
    const headers = headersOf(values.headers);
    for (const name of Object.keys(headersOf(before.headers))) if (!(name in headers)) headers[name] = null;
    body.headers = headers;
  }
  if (values.secret.trim() !== "") body.secret = values.secret.trim();
  if (fresh && values.from_seq.trim() !== "") body.from_seq = Number(values.from_seq);
  return body;
}

/**
 * @param {object} props
 * @param {Endpoint} [props.endpoint] the one to be changed
 * @param {string} props.busy
 * @param {import("../../problem.js").Problem | null} props.problem
 * @param {(body: Record<string, unknown>) => void} props.onSave
 * @param {() => void} props.onCancel
 */
export function EndpointForm({ endpoint, busy, problem, onSave, onCancel }) {
  const [before] = useState(() => valuesOf(endpoint));
  const [values, setValues] = useState(before);
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => setValues({ ...values, [name]: event.currentTarget.value });
  const fresh = !endpoint;
  const body = bodyOf(values, before, fresh);
  const input = (/** @type {string} */ name, /** @type {Record<string, unknown>} */ more = {}) =>
    html`<input name=${name} value=${values[name]} onInput=${set(name)} autocomplete="off" spellcheck=${false} ...${more} />`;
  const lines = (/** @type {string} */ name, /** @type {Record<string, unknown>} */ more = {}) =>
    html`<textarea name=${name} rows="2" value=${values[name]} onInput=${set(name)} spellcheck=${false} ...${more}></textarea>`;
  const choice = (/** @type {string} */ name, /** @type {[string, string][]} */ options) =>
    html`<select name=${name} value=${values[name]} onChange=${set(name)}>
      ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${values[name] === value}>${text}</option>`)}
    </select>`;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    onSave(body);
  };
  return html`<form class="form" onSubmit=${submit}>
    <${Field} label="URL" hint="With https, or http" pointer="/url" problem=${problem}>${input("url", { type: "url", required: true })}<//>
    <${Field} label="Description" pointer="/description" problem=${problem}>${input("description", { spellcheck: true })}<//>
    <${Field} label="Types" hint="Patterns such as order.*, one a line; none for all messages" pointer="/types" problem=${problem}>${lines("types")}<//>
    <div class="field-row">
      <${Field} label="Order" pointer="/ordering" problem=${problem}>
        ${choice("ordering", [["none", "None: many at a time"], ["key", "By ordering key"], ["fifo", "Strict: one at a time"]])}
      <//>
      ${values.ordering === "fifo" &&
      html`<${Field} label="When attempts are used up" pointer="/on_failure" problem=${problem}>
        ${choice("on_failure", [["block", "Try on, until it is skipped"], ["skip", "Give it up"]])}
      <//>`}
    </div>
    <div class="field-row three">
      <${Field} label="Timeout, ms" hint="100 to 15,000; 5,000 if empty" pointer="/timeout_ms" problem=${problem}>${input("timeout_ms", { inputmode: "numeric" })}<//>
      <${Field} label="At a time" hint="As many as workers if empty" pointer="/concurrency" problem=${problem}>${input("concurrency", { inputmode: "numeric" })}<//>
      <${Field} label="Rate, per second" hint="Any if empty" pointer="/rate" problem=${problem}>${input("rate", { inputmode: "numeric" })}<//>
    </div>
    <details class="more" open=${!fresh}>
      <summary>Retries, headers, secret and id</summary>
      <${Field} label="Waits between attempts" hint="5s, 5m, 30m, 2h, 5h, 10h, 10h if empty" pointer="/retry/schedule" problem=${problem}>${input("schedule")}<//>
      <${Field} label="Never try again after" hint="HTTP statuses, such as 404, 422" pointer="/retry/final" problem=${problem}>${input("final")}<//>
      <${Field} label="Headers" hint="name: value, one a line. *** stands for a value that is kept" pointer="/headers" problem=${problem}>${lines("headers")}<//>
      <${Field} label="Your own id" pointer="/external_id" problem=${problem}>${input("external_id")}<//>
      <${Field} label="Your own signing secret" hint=${fresh ? "whsec_…; one is made if empty" : "whsec_…; stays as it is if empty"} pointer="/secret" problem=${problem}>${input("secret", { type: "password", autocomplete: "new-password" })}<//>
      ${fresh && html`<${Field} label="Begin at message" hint="A seq; what is stored from now on if empty" pointer="/from_seq" problem=${problem}>${input("from_seq", { inputmode: "numeric" })}<//>`}
    </details>
    <${ProblemView} problem=${problem} />
    <footer>
      <${Button} onClick=${onCancel}>Cancel<//>
      <${Button} kind="primary" type="submit" busy=${busy !== ""} disabled=${Object.keys(body).length === 0}>${fresh ? "Create endpoint" : "Save"}<//>
    </footer>
  </form>`;
}
