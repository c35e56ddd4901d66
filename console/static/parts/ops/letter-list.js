// @ts-check
// Dead letters one by one, newest first, to be picked from.
import { api } from "../../api.js";
import { NewRows, ProblemView, Time } from "../basics.js";
import { count, visible } from "../format.js";
import { html, useEffect, useMemo } from "../html.js";
import { Paged, usePaged } from "../paged.js";
import { Table } from "../table.js";
import { queryOf } from "./letters.js";
import { reasonWords, shortURL } from "./words.js";

/** @typedef {import("../../types/api").DeadLetterSummary} Letter */
/** @typedef {import("../../types/api").Endpoint} Endpoint */
/** @typedef {import("./letters.js").Filter} Filter */

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {Filter} props.filter
 * @param {number} props.newest the id of the newest letter that there is; 0 if not known
 * @param {number} props.again changes when letters have changed by what was done here
 * @param {Map<string, Endpoint>} props.endpoints
 * @param {Map<number, Letter>} props.picked
 * @param {(picked: Map<number, Letter>) => void} props.onPick
 * @param {boolean} props.mayPick
 * @param {any} props.empty
 */
export function LetterList({ tenantId, filter, newest, again, endpoints, picked, onPick, mayPick, empty }) {
  const query = queryOf(filter);
  const paged = usePaged(
    (cursor, signal) => api.get("/dead-letters/summaries", { tenant: tenantId, query: { ...query, cursor, limit: 100 }, signal }).then((answer) => answer.data),
    [tenantId, JSON.stringify(query), again],
  );
  const rows = /** @type {Letter[]} */ (paged.rows);
  const known = useMemo(() => new Set(rows.map((l) => l.id)), [rows]);
  useEffect(() => {
    const kept = new Map([...picked].filter(([id]) => known.has(id)));
    if (kept.size !== picked.size) onPick(kept);
  }, [known]);
  // What is found by its error is looked for in many: a page may be empty, and others follow.
  useEffect(() => {
    if (!paged.busy && !paged.problem && paged.more && rows.length === 0) paged.loadMore();
  }, [paged.busy, rows.length]);
  const toggle = (/** @type {Letter} */ l) => {
    const next = new Map(picked);
    if (!next.delete(l.id)) next.set(l.id, l);
    onPick(next);
  };
  const all = rows.length > 0 && picked.size === rows.length;
  const some = (/** @type {(l: Letter) => unknown} */ has, /** @type {import("../table.js").Column} */ column) => (rows.some(has) ? [column] : []);
  /** @type {import("../table.js").Column[]} */
  const columns = [
    { key: "id", head: "Letter", narrow: "line", cell: (/** @type {Letter} */ l) => count(l.id) },
    { key: "error", head: "Error", width: "grow", narrow: "title", cell: (/** @type {Letter} */ l) => html`<span class="cut">${l.error ? visible(l.error) : reasonWords(l.reason)}</span>` },
    { key: "message", head: "Message", cell: (/** @type {Letter} */ l) => html`<span class="cut id-cut">${l.message_id ? visible(l.message_id) : html`<span class="muted">none</span>`}</span>` },
    ...some((l) => l.type, { key: "type", head: "Type", cell: (/** @type {Letter} */ l) => html`<span class="cut">${visible(l.type)}</span>` }),
    ...some((l) => l.endpoint_id, { key: "endpoint", head: "Endpoint", cell: (/** @type {Letter} */ l) => html`<span class="cut muted">${endpointOf(l, endpoints)}</span>` }),
    { key: "created_at", head: "Given up", align: "right", cell: (/** @type {Letter} */ l) => html`<${Time} at=${l.created_at} />` },
    ...(filter.replayed ? [{ key: "replayed_at", head: "Replayed", align: /** @type {"right"} */ ("right"), cell: (/** @type {Letter} */ l) => html`<${Time} at=${l.replayed_at} />` }] : []),
  ];
  const first = rows[0]?.id ?? 0;
  const lead = mayPick ? {
    lead: (/** @type {Letter} */ l) => html`<input type="checkbox" class="pick" aria-label=${`Letter ${l.id}`} checked=${picked.has(l.id)} onChange=${() => toggle(l)} />`,
    leadHead: html`<input type="checkbox" class="pick" aria-label="All that are listed" checked=${all} onChange=${() => onPick(all ? new Map() : new Map(rows.map((l) => [l.id, l])))} />`,
  } : {};
  return html`
    ${newest > first && !paged.busy && first > 0 && html`<${NewRows} count=${1} label="New letters" onShow=${paged.reload} />`}
    <${Table} label="Dead letters" rows=${rows} columns=${columns} busy=${paged.busy} rowKey=${(/** @type {Letter} */ l) => String(l.id)}
      href=${(/** @type {Letter} */ l) => `/tenants/${tenantId}/dead-letters/${l.id}`} empty=${paged.problem ? html`<${ProblemView} problem=${null} />` : empty} ...${lead} />
    <${Paged} paged=${paged} noun="letters" />`;
}

function endpointOf(/** @type {Letter} */ l, /** @type {Map<string, Endpoint>} */ endpoints) {
  if (!l.endpoint_id) return "";
  const e = endpoints.get(l.endpoint_id);
  return e ? shortURL(e.url) : "gone";
}
