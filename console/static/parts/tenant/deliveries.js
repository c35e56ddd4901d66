// @ts-check
// What became of a message at each endpoint.

import { Button, Chip, Time } from "../basics.js";
import { count } from "../format.js";
import { html, useState } from "../html.js";
import { Table } from "../table.js";

/** @typedef {import("./types.js").Delivery} Delivery */

/** How the states look. */
const chips = { delivered: "flows", pending: "waits", retrying: "waits", failed: "fails", passed: "inactive" };

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {Delivery[]} props.deliveries
 * @param {{id: string, url: string, description: string}[]} props.endpoints all that the tenant has
 * @param {boolean} props.mayResend
 * @param {(endpoint: string, name: string) => Promise<void>} props.resend
 */
export function Deliveries({ tenantId, deliveries, endpoints, mayResend, resend }) {
  const byId = new Map(endpoints.map((e) => [e.id, e]));
  const named = (/** @type {Delivery} */ d) => byId.get(d.endpoint_id)?.url ?? d.endpoint_id;
  const columns = [
    { key: "endpoint", head: "Endpoint", width: "grow", cell: (/** @type {Delivery} */ d) => html`<bdi>${named(d)}</bdi>` },
    { key: "state", head: "State", cell: (/** @type {Delivery} */ d) => html`<${Chip} state=${chips[d.state]}>${d.state}<//>` },
    { key: "attempts", head: "Attempts", align: "right", cell: (/** @type {Delivery} */ d) => count(d.attempts) },
    { key: "last_status", head: "Last answer", align: "right", cell: (/** @type {Delivery} */ d) => d.last_status ?? (d.attempts > 0 ? "none" : "–") },
    { key: "next", head: "Next attempt", cell: (/** @type {Delivery} */ d) => (d.next_attempt_at ? html`<${Time} at=${d.next_attempt_at} />` : "–") },
  ];
  const empty = endpoints.length === 0 ? "The tenant has no endpoints: messages stay in the history and the stream." : "It is for none of the endpoints.";
  return html`<section aria-label="Deliveries"><h3>Deliveries</h3>
    <${Table} label="Deliveries" columns=${columns} rows=${deliveries} rowKey=${(/** @type {Delivery} */ d) => d.endpoint_id} empty=${empty}
      href=${(/** @type {Delivery} */ d) => `/tenants/${encodeURIComponent(tenantId)}/endpoints/${encodeURIComponent(d.endpoint_id)}`}
      actions=${mayResend ? (/** @type {Delivery} */ d) => html`<${Resend} run=${() => resend(d.endpoint_id, named(d))} />` : undefined} />
  </section>`;
}

/** @param {{run: () => Promise<void>}} props */
function Resend({ run }) {
  const [busy, setBusy] = useState(false);
  const click = async () => {
    setBusy(true);
    await run();
    setBusy(false);
  };
  return html`<${Button} kind="quiet" busy=${busy} onClick=${click}>Resend<//>`;
}
