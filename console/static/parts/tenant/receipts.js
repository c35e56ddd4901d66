// @ts-check
// What became of the messages that were published here.

import { Link } from "../../router.js";
import { ShortId } from "../basics.js";
import { count, duration } from "../format.js";
import { html, useEffect, useState } from "../html.js";

/**
 * @typedef {object} Receipt
 * @property {string} id
 * @property {number} at when the call began
 * @property {number} took until its answer, in ms
 * @property {boolean} replayed
 * @property {Promise<import("./arrivals.js").Arrival | null>} arrival
 */

/** @param {{tenantId: string, receipts: Receipt[]}} props */
export function Receipts({ tenantId, receipts }) {
  return html`<ol class="receipts" aria-label="Published here" aria-live="polite">
    ${receipts.map((r) => html`<${Line} key=${r.at} tenantId=${tenantId} receipt=${r} />`)}
  </ol>`;
}

/** @param {{tenantId: string, receipt: Receipt}} props */
function Line({ tenantId, receipt }) {
  const [arrival, setArrival] = useState(/** @type {import("./arrivals.js").Arrival | null | undefined} */ (undefined));
  useEffect(() => {
    let gone = false;
    void receipt.arrival.then((a) => gone || setArrival(a));
    return () => void (gone = true);
  }, [receipt]);
  const href = `/console/tenants/${encodeURIComponent(tenantId)}/messages/${encodeURIComponent(receipt.id)}`;
  const accepted = receipt.replayed ? "accepted before" : `accepted in ${duration(receipt.took / 1000)}`;
  return html`<li class="receipt" data-state=${arrival ? "stored" : arrival === null ? "late" : "accepted"}>
    <span class="dot"></span>
    <span><${ShortId} id=${receipt.id} /> ${accepted},
      ${arrival ? html` stored as <${Link} href=${href}>${count(arrival.seq)}<//>${receipt.replayed ? "." : ` after ${duration((arrival.at - receipt.at) / 1000)}.`}`
        : arrival === null ? html` not stored yet: <${Link} href=${href}>see why<//>.`
        : " on its way …"}
    </span>
  </li>`;
}
