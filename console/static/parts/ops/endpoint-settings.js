// @ts-check
// What an endpoint is set to.
import { ShortId, Time } from "../basics.js";
import { count } from "../format.js";
import { html } from "../html.js";
import { Facts, Section } from "./section.js";

const orders = {
  none: "None: as many at a time as there may be",
  key: "By ordering key: one at a time of each",
  fifo: "Strict: one at a time, by number",
};

/** @param {{endpoint: import("../../types/api").Endpoint}} props */
export function Settings({ endpoint: e }) {
  const code = (/** @type {string} */ text) => html`<code key=${text}>${text}</code> `;
  const headers = Object.keys(e.headers);
  return html`<${Section} title="Settings"><${Facts} label="Settings" facts=${[
    ["URL", html`<code class="wrap">${e.url}</code>`],
    ["Description", e.description && html`<bdi>${e.description}</bdi>`],
    ["Id", html`<${ShortId} id=${e.id} />`],
    ["Your own id", e.external_id && html`<code>${e.external_id}</code>`],
    ["Types", e.types.length === 0 ? "All messages" : e.types.map(code)],
    ["Order", orders[e.ordering] + (e.on_failure ? (e.on_failure === "block" ? ", tried on until it is skipped" : ", given up when attempts are used up") : "")],
    ["Timeout", `${count(e.timeout_ms)} ms`],
    ["At a time", e.concurrency === null ? "As many as the tenant has workers" : count(e.concurrency)],
    ["Rate", e.rate === 0 ? "Any" : `${count(e.rate)} a second`],
    ["Tried again after", e.retry.schedule.join(", ") || "never"],
    ["Never after", e.retry.final.join(", ")],
    ["Headers", headers.length > 0 && headers.map(code)],
    ["Old secret", e.old_secret_until && html`signs along, and ends <${Time} at=${e.old_secret_until} />`],
    ["Made", html`<${Time} at=${e.created_at} />`],
    ["Changed", html`<${Time} at=${e.updated_at} />`],
  ]} /><//>`;
}
