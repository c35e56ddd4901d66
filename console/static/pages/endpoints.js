// @ts-check
// The endpoints of a tenant: where its messages are delivered to, and how that goes.
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Chip, Empty, ProblemView } from "../parts/basics.js";
import { Dialog } from "../parts/dialog.js";
import { count, counted } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { say } from "../parts/outcomes.js";
import { requestOf, useAction, useKeys } from "../parts/ops/action.js";
import { EndpointForm } from "../parts/ops/endpoint-form.js";
import { stateOf } from "../parts/ops/endpoint-state.js";
import { ShownOnce } from "../parts/ops/secret.js";
import { Section } from "../parts/ops/section.js";
import { TenantTab } from "../parts/ops/tenant-tab.js";
import { shortURL } from "../parts/ops/words.js";
import { Table } from "../parts/table.js";
import { navigate } from "../router.js";

/** @typedef {import("../types/api").Endpoint} Endpoint */

/** @param {{params: Record<string, string>}} props */
export default function Page({ params }) {
  return html`<${TenantTab} key=${params.id} id=${params.id} tab="endpoints">${() => html`<${Endpoints} tenantId=${params.id} />`}<//>`;
}

/**
 * How the endpoints do, in a sentence.
 * @param {Endpoint[]} all
 * @returns {[string, string]} with the state of the dot
 */
export function sentenceOf(all) {
  const behind = all.reduce((sum, e) => sum + e.lag, 0);
  const failing = all.filter((e) => stateOf(e).state === "fails");
  const held = all.filter((e) => e.status === "held").length;
  const parts = [counted(all.length, "endpoint"), behind === 0 ? "nothing behind" : `${counted(behind, "message")} behind`];
  if (failing.length > 0) parts.push(failing.length === 1 ? `${shortURL(failing[0].url)} fails` : `${count(failing.length)} fail`);
  if (held > 0) parts.push(`${count(held)} held`);
  return [`${parts.join(", ")}.`, failing.length > 0 ? "fails" : behind > 0 ? "waits" : "flows"];
}

/** @type {import("../parts/table.js").Column[]} */
const columns = [
  { key: "url", head: "Endpoint", width: "grow", sort: true, cell: (/** @type {Endpoint} */ e) => html`<span class="two"><span>${shortURL(e.url)}</span>${e.description && html` <bdi class="muted">${e.description}</bdi>`}</span>` },
  { key: "state", head: "State", cell: (/** @type {Endpoint} */ e) => html`<${Chip} state=${stateOf(e).state}>${stateOf(e).word}<//>` },
  { key: "types", head: "Types", cell: (/** @type {Endpoint} */ e) => html`<span class="muted">${e.types.length === 0 ? "all" : e.types.join(", ")}</span>` },
  { key: "ordering", head: "Order", narrow: "hide", cell: (/** @type {Endpoint} */ e) => html`<span class="muted">${e.ordering}</span>` },
  { key: "open", head: "Retries", align: "right", sort: true, cell: (/** @type {Endpoint} */ e) => count(e.open) },
  { key: "lag", head: "Behind", align: "right", sort: true, cell: (/** @type {Endpoint} */ e) => count(e.lag) },
];

/** @param {{tenantId: string}} props */
function Endpoints({ tenantId }) {
  const { data, problem, state, refresh } = usePolled((signal) => api.get(`/tenants/${tenantId}/endpoints`, { signal }).then((answer) => /** @type {Endpoint[]} */ (answer.data.data)), [tenantId]);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {Endpoint | null} */ (null));
  const may = session.may("manage");
  const all = data ?? [];
  const [sentence, tone] = sentenceOf(all);
  const fresh = html`<${Button} kind="primary" onClick=${() => setMaking(true)}>New endpoint<//>`;
  return html`
    <${Section} title="Endpoints" sentence=${data && all.length > 0 ? sentence : undefined} state=${tone} actions=${may && all.length > 0 && fresh}>
      ${!data && html`<${ProblemView} problem=${problem} />`}
      <div class=${state === "lost" ? "stale" : ""}>
        <${Table} label="Endpoints" rows=${all} columns=${columns} busy=${!data} rowKey=${(/** @type {Endpoint} */ e) => e.id}
          href=${(/** @type {Endpoint} */ e) => `/tenants/${tenantId}/endpoints/${e.id}`} empty=${html`<${Empty} title="No endpoints yet">
            <p>An endpoint is a URL of yours. Every message of this tenant is posted to it, signed, and tried again until it arrives; what cannot be delivered becomes a dead letter.</p>
            ${may && html`<p>${fresh}</p>`}<//>`} />
      </div>
    <//>
    ${making && html`<${NewEndpoint} tenantId=${tenantId} onClose=${() => setMaking(false)} onMade=${(/** @type {Endpoint} */ e) => { setMaking(false); setMade(e); void refresh(); }} />`}
    ${made && html`<${ShownOnce} title="The signing secret" text=${made.secret} what=${`What is delivered to ${shortURL(made.url)} is signed with it, so that the receiver can tell that it came from here.`}
      onClose=${() => navigate(`/tenants/${tenantId}/endpoints/${made.id}`)} />`}`;
}

/** @param {{tenantId: string, onClose: () => void, onMade: (e: Endpoint) => void}} props */
function NewEndpoint({ tenantId, onClose, onMade }) {
  const { busy, problem, run } = useAction();
  const keyOf = useKeys();
  const create = async (/** @type {Record<string, unknown>} */ body) => {
    const answer = await run("create", () => api.post(`/tenants/${tenantId}/endpoints`, body, { key: keyOf(body) }));
    if (!answer) return;
    say({ text: `${shortURL(answer.data.url)} is made. It gets ${body.from_seq ? `messages from ${body.from_seq} on` : "what is stored from now on"}.`, requestId: requestOf(answer) });
    onMade(answer.data);
  };
  return html`<${Dialog} title="New endpoint" wide=${true} onClose=${onClose}>
    <${EndpointForm} busy=${busy} problem=${problem} onSave=${create} onCancel=${onClose} /><//>`;
}
