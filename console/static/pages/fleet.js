// @ts-check
// The replicas: which live, what each runs, and which tenants moved between them.
import { api } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Chip, Empty, ProblemView, Time } from "../parts/basics.js";
import { count, counted, duration } from "../parts/format.js";
import { html } from "../parts/html.js";
import { Section } from "../parts/ops/section.js";
import { PageHead } from "../parts/page.js";
import { Paged, usePaged } from "../parts/paged.js";
import { Table } from "../parts/table.js";
import { Link, setQuery } from "../router.js";

/** @typedef {{id: string, version: string, started_at: string, beat_at: string, state: string, tenants: number}} Replica */
/** @typedef {{tenant_id: string, tenant_name: string, from: string, to: string, at: string}} Move */
/** @typedef {{at: string, replicas: Replica[], moves: Move[]}} Fleet */

/** How a replica does: the chip, the word, and what it means. */
const states = {
  live: { chip: "flows", word: "live", means: "" },
  no_broker: { chip: "fails", word: "no broker", means: "It lives, and does not reach the broker." },
  suspect: { chip: "waits", word: "suspect", means: "It has been silent for more than 6 seconds." },
  gone: { chip: "stopped", word: "gone", means: "It has been silent for more than 10 seconds: others run its tenants." },
};

/** @returns {{chip: string, word: string, means: string}} */
const wordsOf = (/** @type {string} */ state) => /** @type {any} */ (states)[state] ?? { chip: "stopped", word: state, means: "" };

/** @param {{query: Record<string, string>}} props */
export default function Page({ query }) {
  const { data: fleet, problem, state } = usePolled((signal) => api.get("/fleet", { signal }).then((answer) => /** @type {Fleet} */ (answer.data)), []);
  const forbidden = problem?.status === 403;
  if (!fleet) {
    return html`<${PageHead} title="Fleet" sentence=${forbidden ? "Only admins see the replicas." : problem ? "How the replicas do is not known." : "Loading …"} />
      ${!forbidden && html`<${ProblemView} problem=${problem} />`}`;
  }
  const [sentence, tone] = sentenceOf(fleet);
  return html`<${PageHead} title="Fleet" sentence=${sentence} state=${tone} />
    <div class=${state === "lost" ? "stale" : ""}>
      <${Section} title="Replicas"><${Table} label="Replicas" rows=${fleet.replicas} columns=${columns(fleet.at)} rowKey=${(/** @type {Replica} */ r) => r.id}
        href=${(/** @type {Replica} */ r) => `/fleet?replica=${encodeURIComponent(r.id)}`} empty=${html`<${Empty} title="No replicas"><p>One appears here as soon as it has started.</p><//>`} /><//>
      ${query.replica && html`<${Owned} key=${query.replica} replica=${query.replica} />`}
      <${Section} title="Moves"><${Table} label="Moves of tenants" rows=${fleet.moves} columns=${moveColumns} rowKey=${(/** @type {Move} */ m) => `${m.tenant_id} ${m.at}`}
        empty=${html`<${Empty} title="No moves"><p>When a replica comes or goes, tenants move between replicas, and the last move of each is here.</p><//>`} /><//>
    </div>`;
}

/** "3 replicas, 40 tenants, last move 2 h ago." */
function sentenceOf(/** @type {Fleet} */ fleet) {
  const live = fleet.replicas.filter((r) => r.state === "live");
  const others = fleet.replicas.filter((r) => r.state !== "live");
  const tenants = fleet.replicas.reduce((sum, r) => sum + r.tenants, 0);
  const moved = fleet.moves[0];
  const parts = [counted(live.length, "replica"), counted(tenants, "tenant"), moved ? html`last move <${Time} at=${moved.at} />` : "no move on record"];
  if (others.length > 0) parts.push(`${count(others.length)} not live`);
  return [html`${parts.map((part, i) => html`${i > 0 && ", "}${part}`)}.`, others.some((r) => r.state !== "gone") ? "waits" : live.length === 0 ? "fails" : "flows"];
}

/** @param {string} at the fleet's time @returns {import("../parts/table.js").Column[]} */
function columns(at) {
  return [
    { key: "id", head: "Replica", width: "grow", sort: true },
    { key: "state", head: "State", sort: true, cell: (/** @type {Replica} */ r) => html`<${Chip} state=${wordsOf(r.state).chip} title=${wordsOf(r.state).means}>${wordsOf(r.state).word}<//>` },
    { key: "version", head: "Version", sort: true, cell: (/** @type {Replica} */ r) => r.version || html`<span class="muted">–</span>` },
    { key: "started_at", head: "Started", sort: true, cell: (/** @type {Replica} */ r) => html`<${Time} at=${r.started_at} />` },
    { key: "beat_at", head: "Heartbeat", align: "right", sort: true, cell: (/** @type {Replica} */ r) => `${duration(Math.max(0, (Date.parse(at) - Date.parse(r.beat_at)) / 1000))} ago` },
    { key: "tenants", head: "Tenants", align: "right", sort: true, cell: (/** @type {Replica} */ r) => count(r.tenants) },
  ];
}

/** @type {import("../parts/table.js").Column[]} */
const moveColumns = [
  { key: "tenant", head: "Tenant", width: "grow", cell: (/** @type {Move} */ m) => (m.tenant_name ? html`<${Link} href=${`/tenants/${m.tenant_id}`}><bdi>${m.tenant_name}</bdi><//>` : html`<span class="muted">deleted since</span>`) },
  { key: "origin", head: "From", cell: (/** @type {Move} */ m) => m.from },
  { key: "target", head: "To", cell: (/** @type {Move} */ m) => m.to },
  { key: "at", head: "When", align: "right", cell: (/** @type {Move} */ m) => html`<${Time} at=${m.at} />` },
];

/** What one replica runs. @param {{replica: string}} props */
function Owned({ replica }) {
  const paged = usePaged((cursor, signal) => api.get(`/fleet/${encodeURIComponent(replica)}/tenants`, { query: { cursor, limit: 200 }, signal }).then((answer) => answer.data), [replica]);
  /** @type {import("../parts/table.js").Column[]} */
  const owned = [
    { key: "name", head: "Tenant", width: "grow", cell: (row) => html`<bdi>${row.name}</bdi>` },
    { key: "busy", head: "Workers", unit: "busy", align: "right", cell: (row) => html`${count(row.busy)} <span class="unit">of ${count(row.workers)}</span>` },
    { key: "backlog", head: "Waiting", align: "right", cell: (row) => count(row.backlog) },
    { key: "rate", head: "Stored", unit: "/s", align: "right", cell: (row) => count(row.rate) },
  ];
  return html`<${Section} title=${`What ${replica} runs`} sentence=${paged.total === null ? undefined : `${counted(paged.total, "tenant")}.`}
      actions=${html`<${Button} kind="quiet" onClick=${() => setQuery({ replica: "" })}>Close<//>`}>
    <${Table} label=${`Tenants of ${replica}`} rows=${paged.rows} columns=${owned} busy=${paged.busy} rowKey=${(/** @type {any} */ row) => row.tenant_id}
      href=${(/** @type {any} */ row) => `/tenants/${row.tenant_id}`} empty=${html`<p class="muted">It runs no tenants.</p>`} />
    <${Paged} paged=${paged} noun="tenants" /><//>`;
}
