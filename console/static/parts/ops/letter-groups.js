// @ts-check
// Dead letters by what they were given up for, the largest group first.
import { api } from "../../api.js";
import { usePolled } from "../../live.js";
import { Chip, Time } from "../basics.js";
import { count, counted } from "../format.js";
import { html, useState } from "../html.js";
import { Table } from "../table.js";
import { queryOf } from "./letters.js";
import { clock, phrase, reasonWords, shortURL } from "./words.js";

/** @typedef {import("../../types/api").DeadLetterGroup} DeadLetterGroup */
/** @typedef {import("../../types/api").DeadLetterGroups} Groups */
/** @typedef {import("../../types/api").Endpoint} Endpoint */

/**
 * The groups of what a filter is about, leaving its error aside. Where counting takes
 * long it is done less often.
 * @param {string} tenantId
 * @param {import("./letters.js").Filter} filter
 */
export function useGroups(tenantId, filter) {
  const [slow, setSlow] = useState(false);
  const query = queryOf({ ...filter, error: "" });
  return usePolled(async (signal) => {
    const began = performance.now();
    const answer = await api.get("/dead-letters/groups", { tenant: tenantId, query, signal });
    setSlow(performance.now() - began > 150);
    return /** @type {Groups} */ (answer.data);
  }, [tenantId, JSON.stringify(query)], { every: slow ? 20_000 : 3000 });
}

/** What a group is, in a few words: "status 409 from example.com/hooks". */
export function groupWords(/** @type {DeadLetterGroup} */ g, /** @type {Map<string, Endpoint>} */ endpoints) {
  const error = g.error || reasonWords(g.reason);
  if (!g.endpoint_id) return phrase(error);
  const e = endpoints.get(g.endpoint_id);
  return `${phrase(error.replace(/^status (\d{3})$/, "$1"))} from ${e ? shortURL(e.url) : "an endpoint that is gone"}`;
}

/**
 * The sentence of dead letters: "127 letters in 3 groups; the largest: 409 from ... since 09:12."
 * @param {Groups} groups
 * @param {Map<string, Endpoint>} endpoints
 */
export function groupsSentence(groups, endpoints) {
  if (groups.counted === 0) return "No dead letters.";
  const [largest] = groups.data;
  const more = groups.truncated ? "More than " : "";
  const others = groups.others > 0 ? " or more" : "";
  const what = `${groupWords(largest, endpoints)} since ${clock(largest.first)}`;
  if (groups.data.length === 1 && groups.others === 0) return `${more}${counted(groups.counted, "letter")} in 1 group: ${what}.`;
  return `${more}${counted(groups.counted, "letter")} in ${counted(groups.data.length, "group")}${others}; the largest, with ${count(largest.count)}: ${what}.`;
}

/** The address of a group below the page of a tenant's letters. */
export function groupHref(/** @type {string} */ tenantId, /** @type {DeadLetterGroup} */ g, /** @type {Record<string, string>} */ query = {}) {
  const parts = new URLSearchParams({ ...query, reason: g.reason, error: g.error });
  if (g.endpoint_id) parts.set("endpoint_id", g.endpoint_id);
  parts.delete("sort");
  return `/tenants/${tenantId}/dead-letters?${parts}`;
}

/** @param {{tenantId: string, groups: Groups, endpoints: Map<string, Endpoint>, query: Record<string, string>, empty: any}} props */
export function GroupTable({ tenantId, groups, endpoints, query, empty }) {
  /** @type {import("../table.js").Column[]} */
  const columns = [
    { key: "error", head: "Given up for", width: "grow", cell: (/** @type {DeadLetterGroup} */ g) => html`<span class="cut">${groupWords(g, endpoints)}</span>` },
    { key: "state", head: "Reason", cell: (/** @type {DeadLetterGroup} */ g) => html`<${Chip} state="fails">${reasonWords(g.reason)}<//>` },
    { key: "first", head: "First", cell: (/** @type {DeadLetterGroup} */ g) => html`<${Time} at=${g.first} />` },
    { key: "last", head: "Last", cell: (/** @type {DeadLetterGroup} */ g) => html`<${Time} at=${g.last} />` },
    { key: "count", head: "Letters", align: "right", cell: (/** @type {DeadLetterGroup} */ g) => count(g.count) },
  ];
  return html`<${Table} label="Groups of dead letters" rows=${groups.data} columns=${columns} empty=${empty}
    rowKey=${(/** @type {DeadLetterGroup} */ g) => `${g.reason} ${g.endpoint_id} ${g.error}`} href=${(/** @type {DeadLetterGroup} */ g) => groupHref(tenantId, g, query)} />`;
}
