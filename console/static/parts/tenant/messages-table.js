// @ts-check
// Messages in rows.

import { Time } from "../basics.js";
import { count } from "../format.js";
import { html } from "../html.js";
import { Table } from "../table.js";

/** @typedef {import("./live-list.js").Row} Row */

/** Where the page of a message is. @param {string} tenantId @param {string} id */
export function messageHref(tenantId, id) {
  return `/tenants/${encodeURIComponent(tenantId)}/messages/${encodeURIComponent(id)}`;
}

const columns = [
  { key: "seq", head: "Seq", narrow: "side", cell: (/** @type {Row} */ r) => count(r.seq) },
  { key: "at", head: "Stored", cell: (/** @type {Row} */ r) => html`<${Time} at=${r.at} />` },
  { key: "type", head: "Type", cell: (/** @type {Row} */ r) => html`<bdi>${r.type}</bdi>` },
  { key: "key", head: "Ordering key", narrow: "hide", cell: (/** @type {Row} */ r) => html`<bdi>${r.key}</bdi>` },
  { key: "text", head: "Payload", width: "grow", narrow: "title", cell: (/** @type {Row} */ r) => html`<code class=${r.fresh ? "payload-line came" : "payload-line"}>${r.text}</code>` },
];

/** @param {{tenantId: string, rows: Row[], label: string, empty?: any, busy?: boolean}} props */
export function MessagesTable({ tenantId, rows, label, empty, busy }) {
  return html`<${Table} label=${label} columns=${columns} rows=${rows} rowKey=${(/** @type {Row} */ r) => r.id}
    href=${(/** @type {Row} */ r) => messageHref(tenantId, r.id)} empty=${empty} busy=${busy} steady=${false} />`;
}
