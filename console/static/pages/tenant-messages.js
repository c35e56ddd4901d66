// @ts-check
// A tenant's messages: the newest live, or a page of the history, and a box to publish.

import { session } from "../api.js";
import { CodeBlock, Empty } from "../parts/basics.js";
import { html, useEffect, useMemo } from "../parts/html.js";
import { Arrivals } from "../parts/tenant/arrivals.js";
import { TenantPage } from "../parts/tenant/frame.js";
import { History } from "../parts/tenant/history.js";
import { PublishBox } from "../parts/tenant/publish.js";
import { curlPublish } from "../parts/tenant/snippets.js";
import { StreamList } from "../parts/tenant/stream-list.js";

/** @param {{params: {id: string}, query: Record<string, string>}} props */
export default function Page({ params, query }) {
  return html`<${TenantPage} key=${params.id} id=${params.id} tab="messages">
    ${(/** @type {import("../parts/tenant/state.js").TenantState} */ state) => html`<${Messages} state=${state} query=${query} />`}
  <//>`;
}

/** @param {{state: import("../parts/tenant/state.js").TenantState, query: Record<string, string>}} props */
function Messages({ state, query }) {
  const { tenant, row } = state;
  const arrivals = useMemo(() => new Arrivals(tenant.id), [tenant.id]);
  useEffect(() => () => arrivals.end(), [arrivals]);
  const note = useMemo(() => (/** @type {{id: string, seq: number}} */ m) => arrivals.note(m), [arrivals]);
  const place = { before: digits(query.before), after: digits(query.after) };
  const past = place.before !== undefined || place.after !== undefined;
  const mayPublish = session.may("publish") && tenant.status === "active";

  return html`<div class=${mayPublish ? "messages with-box" : "messages"}>
    <div class="messages-list">
      ${past ? html`<${History} tenantId=${tenant.id} place=${place} last=${row?.last_seq ?? null} />`
        : html`<${StreamList} tenantId=${tenant.id} onMessage=${note} empty=${html`<${NoMessages} tenantId=${tenant.id} />`} />`}
    </div>
    ${mayPublish && html`<${PublishBox} tenant=${tenant} arrivals=${arrivals} />`}
  </div>`;
}

/** @param {{tenantId: string}} props */
function NoMessages({ tenantId }) {
  return html`<${Empty} title="No messages yet">
    <p>Publish one with the box on this page, or from a terminal. It appears here as soon as it is stored.</p>
    <${CodeBlock} language="sh" text=${curlPublish(tenantId)} />
  <//>`;
}

/** A seq of the address; what is none counts as not there. @param {string | undefined} text */
function digits(text) {
  return text !== undefined && /^\d{1,19}$/.test(text) ? text : undefined;
}
