// @ts-check
// The dead letters of all tenants: which tenants have some, and what for.
import { api } from "../api.js";
import { usePolled } from "../live.js";
import { Empty, ProblemView, Time } from "../parts/basics.js";
import { count, counted } from "../parts/format.js";
import { html } from "../parts/html.js";
import { groupHref, groupWords } from "../parts/ops/letter-groups.js";
import { Section } from "../parts/ops/section.js";
import { clock } from "../parts/ops/words.js";
import { PageHead } from "../parts/page.js";
import { Table } from "../parts/table.js";

/** @typedef {import("../types/api").DeadLetterGroup} DeadLetterGroup */
/** @typedef {import("../types/api").Endpoint} Endpoint */
/** @typedef {{tenant_id: string, name: string, dead_letters: number}} Row a row of GET /overview/tenants */
/** @typedef {DeadLetterGroup & {tenant: Row, words: string}} TenantGroup */

/** How many tenants are listed, and of how many of them it is told what for. */
const listed = 1000;
const looked = 10;

export default function Page() {
  const { data, problem, state } = usePolled(readTenants, [], { every: 3000 });
  const rows = data ?? [];
  const first = rows.slice(0, looked);
  const groups = usePolled((signal) => readGroups(first, signal), [first.map((row) => row.tenant_id).join()], { every: 15_000, enabled: first.length > 0 });
  const largest = groups.data?.[0];
  const total = rows.reduce((sum, row) => sum + row.dead_letters, 0);
  return html`
    <${PageHead} title="Dead letters" state=${!data ? undefined : total > 0 ? "fails" : "flows"} sentence=${data ? sentenceOf(rows, total, largest) : problem ? "What was given up is not known." : "Loading …"} />
    ${!data && html`<${ProblemView} problem=${problem} />`}
    <div class=${state === "lost" ? "stale" : ""}>
      ${data && rows.length === 0 && html`<${Empty} title="Nothing was given up"><p>A message that cannot be stored, or that an endpoint did not take at any attempt, would be here with the reason, to be replayed once that is mended.</p><//>`}
      ${rows.length > 0 && html`
        <${Section} title="What for"><${Groups} groups=${groups.data} problem=${groups.problem} busy=${groups.busy} />
          ${rows.length > looked && html`<p class="muted note">Of the ${looked} tenants with the most letters.</p>`}<//>
        <${Section} title="By tenant"><${Table} label="Tenants with dead letters" rows=${rows} columns=${tenantColumns} rowKey=${(/** @type {Row} */ r) => r.tenant_id}
          href=${(/** @type {Row} */ r) => `/tenants/${r.tenant_id}/dead-letters`} /><//>`}
    </div>`;
}

/** @type {import("../parts/table.js").Column[]} */
const tenantColumns = [
  { key: "name", head: "Tenant", width: "grow", sort: true, cell: (/** @type {Row} */ r) => html`<bdi>${r.name}</bdi>` },
  { key: "dead_letters", head: "Letters", align: "right", sort: true, cell: (/** @type {Row} */ r) => count(r.dead_letters) },
];

/** @type {import("../parts/table.js").Column[]} */
const groupColumns = [
  { key: "words", head: "Given up for", width: "grow", cell: (/** @type {TenantGroup} */ g) => html`<span class="cut">${g.words}</span>` },
  { key: "tenant", head: "Tenant", cell: (/** @type {TenantGroup} */ g) => html`<bdi>${g.tenant.name}</bdi>` },
  { key: "first", head: "First", cell: (/** @type {TenantGroup} */ g) => html`<${Time} at=${g.first} />` },
  { key: "last", head: "Last", cell: (/** @type {TenantGroup} */ g) => html`<${Time} at=${g.last} />` },
  { key: "count", head: "Letters", align: "right", cell: (/** @type {TenantGroup} */ g) => count(g.count) },
];

/** @param {{groups: TenantGroup[] | null, problem: any, busy: boolean}} props */
function Groups({ groups, problem, busy }) {
  if (!groups && problem) return html`<${ProblemView} problem=${problem} />`;
  return html`<${Table} label="Largest groups" rows=${(groups ?? []).slice(0, 20)} columns=${groupColumns} busy=${busy && !groups}
    rowKey=${(/** @type {TenantGroup} */ g) => `${g.tenant.tenant_id} ${g.reason} ${g.endpoint_id} ${g.error}`} href=${(/** @type {TenantGroup} */ g) => groupHref(g.tenant.tenant_id, g)}
    empty=${html`<p class="muted">They were replayed or deleted.</p>`} />`;
}

/** "127 letters of 3 tenants; the largest group, with 102: 409 from ... since 09:12, of Acme." */
function sentenceOf(/** @type {Row[]} */ rows, /** @type {number} */ total, /** @type {TenantGroup | undefined} */ largest) {
  if (total === 0) return "No dead letters.";
  const much = `${counted(total, "letter")} of ${counted(rows.length, "tenant")}`;
  return largest ? `${much}; the largest group, with ${count(largest.count)}: ${largest.words} since ${clock(largest.first)}, of ${largest.tenant.name}.` : `${much}.`;
}

/** The tenants with dead letters, most first. @returns {Promise<Row[]>} */
async function readTenants(/** @type {AbortSignal} */ signal) {
  const { data } = await api.get("/overview/tenants", { query: { sort: "dead_letters", limit: listed }, signal });
  return data.data.filter((/** @type {Row} */ row) => row.dead_letters > 0).sort((/** @type {Row} */ a, /** @type {Row} */ b) => b.dead_letters - a.dead_letters);
}

/** The groups of some tenants, one after the other, largest first. @returns {Promise<TenantGroup[]>} */
async function readGroups(/** @type {Row[]} */ tenants, /** @type {AbortSignal} */ signal) {
  /** @type {TenantGroup[]} */
  const all = [];
  for (const tenant of tenants) {
    const [groups, endpoints] = await Promise.all([
      api.get("/dead-letters/groups", { tenant: tenant.tenant_id, signal }),
      api.get(`/tenants/${tenant.tenant_id}/endpoints`, { signal }),
    ]);
    const known = new Map(endpoints.data.data.map((/** @type {Endpoint} */ e) => [e.id, e]));
    for (const g of groups.data.data) all.push({ ...g, tenant, words: groupWords(g, known) });
  }
  return all.sort((a, b) => b.count - a.count);
}
