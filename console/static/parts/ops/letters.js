// @ts-check
// Dead letters: which of them are meant, what a call about them will do, and the calls.
import { api, session } from "../../api.js";
import { counted } from "../format.js";
import { requestOf } from "./action.js";
import { about, perSecond, shortURL } from "./words.js";

/** @typedef {import("../../types/api").DeadLetterGroup} DeadLetterGroup */
/** @typedef {import("../../types/api").DeadLetterSummaryPage} SummaryPage */
/** @typedef {import("../../types/api").Endpoint} Endpoint */

/** How many letters one call may name. */
export const atOnce = 1000;

/**
 * Which letters are meant by a filter: what is "" does not restrict it. error is that of
 * a group.
 * @typedef {{reason: string, endpoint_id: string, error: string, from: string, to: string, replayed: boolean}} Filter
 */

/**
 * What an action is about: named letters, or those of a filter. parts says how many go
 * where: "" is the tenant's queue, others are endpoints.
 * @typedef {{ids: number[] | null, filter: Filter, count: number, more: boolean, parts: Map<string, number>, exact: boolean}} Selection
 *   more: there are more than count; exact: the filter without error is about the same letters,
 *   of those that wait
 */

/** "127 letters". */
export function lettersOf(/** @type {Selection} */ s) {
  return `${s.more ? "more than " : ""}${counted(s.count, "letter")}`;
}

/**
 * The filter of an address.
 * @param {Record<string, string>} query
 * @returns {Filter}
 */
export function filterOf(query) {
  const time = (/** @type {string | undefined} */ text) => (text && !Number.isNaN(Date.parse(text)) ? new Date(text).toISOString() : "");
  return {
    reason: query.reason ?? "", endpoint_id: query.endpoint_id ?? "", error: query.error ?? "",
    from: time(query.from), to: time(query.to), replayed: query.replayed === "true",
  };
}

/**
 * The query of a call that lists what a filter is about.
 * @param {Filter} f
 */
export function queryOf(f) {
  return { reason: f.reason, endpoint_id: f.endpoint_id, from: f.from, to: f.to, replayed: f.replayed ? "true" : "", error: f.error };
}

/** The body of a call about all letters of a filter without error. */
function bodyOf(/** @type {Filter} */ f) {
  const said = Object.entries({ reason: f.reason, endpoint_id: f.endpoint_id, from: f.from, to: f.to }).filter(([, value]) => value !== "");
  return said.length === 0 ? { all: true } : { filter: Object.fromEntries(said) };
}

/**
 * How many of these groups go where when they are replayed.
 * @param {{endpoint_id: string | null, count: number}[]} groups
 */
export function partsOf(groups) {
  /** @type {Map<string, number>} */
  const parts = new Map();
  for (const { endpoint_id, count } of groups) parts.set(endpoint_id ?? "", (parts.get(endpoint_id ?? "") ?? 0) + count);
  return parts;
}

/**
 * What replaying will do, with the numbers in it: "Replay 127 letters at 5,000/s, about 1 s."
 * @param {Selection} selection
 * @param {Endpoint[]} endpoints
 */
export function replaySentence(selection, endpoints) {
  const rate = session.me?.limits.publish_rate ?? 0;
  const known = new Map(endpoints.map((e) => [e.id, e]));
  const lines = [...selection.parts].map(([id, n]) => {
    if (id === "") return `${counted(n, "letter")} to the tenant's queue${rate > 0 ? ` at ${perSecond(rate)}, ${about(n, rate)}` : ""}`;
    const e = known.get(id);
    if (!e) return `${counted(n, "letter")} to an endpoint that is gone, so ${n === 1 ? "it stays as it is" : "they stay as they are"}`;
    return `${counted(n, "letter")} to ${shortURL(e.url)}${e.rate > 0 ? ` at ${perSecond(e.rate)}, ${about(n, e.rate)}` : ""}${e.status === "active" ? "" : ` once it is resumed (${e.status})`}`;
  });
  if (lines.length === 1 && lines[0].includes("tenant's queue")) return `Replay ${lines[0].replace(" to the tenant's queue", "")}. Each is published to the tenant's queue under the id it had: what is stored already is not stored twice.`;
  return `Replay ${lines.join("; ")}. Deliveries begin anew with all of their attempts; what is published to the queue keeps the id it had.`;
}

/**
 * Whether a call by filter is about just the letters of a selection. Deleting by filter is
 * also about those that were replayed, so these are counted.
 * @param {string} tenant
 * @param {"replay" | "delete"} action
 * @param {Selection} selection
 */
export async function byFilter(tenant, action, selection) {
  if (selection.ids !== null) return false;
  if (action === "replay" || selection.more) return selection.exact;
  const { data } = await api.get("/dead-letters/groups", { tenant, query: queryOf({ ...selection.filter, replayed: true, error: "" }) });
  return data.counted === selection.count && !data.truncated;
}

/**
 * What became of a call.
 * @typedef {{done: number, skipped: number, requestId: string, jobTotal: number | null}} Result
 *   jobTotal is how many the job is about that it became; null for none
 */

/**
 * Replays or deletes letters. With whole the filter says it all: then what is about more
 * than one call can do becomes a job of the service. Else it is done call by call from here.
 * @param {string} tenant
 * @param {"replay" | "delete"} action
 * @param {Selection} selection
 * @param {{whole: boolean, onProgress: (done: number) => void, signal: AbortSignal}} o after signal no further call is made
 * @returns {Promise<Result>}
 */
export async function act(tenant, action, selection, { whole, onProgress, signal }) {
  if (whole) return read(action, await send(tenant, action, bodyOf(selection.filter)));
  const total = { done: 0, skipped: 0, requestId: "", jobTotal: null };
  for await (const ids of batches(tenant, selection)) {
    if (signal.aborted) break;
    const { done, skipped, requestId } = read(action, await send(tenant, action, { ids }), ids.length);
    total.done += done;
    total.skipped += skipped;
    total.requestId = requestId;
    onProgress(total.done + total.skipped);
  }
  return total;
}

/** @param {string} tenant @param {"replay" | "delete"} action @param {unknown} body */
function send(tenant, action, body) {
  return action === "replay" ? api.post("/dead-letters/replay", body, { tenant }) : api.del("/dead-letters", { body, tenant });
}

/**
 * What an answer says.
 * @param {"replay" | "delete"} action
 * @param {{data: any, headers: Headers}} answer
 * @param {number} [asked]
 * @returns {Result}
 */
function read(action, answer, asked = 0) {
  const { data } = answer;
  const requestId = requestOf(answer);
  if (data.job_id) return { done: 0, skipped: 0, requestId, jobTotal: data.total };
  if (action === "replay") return { done: data.replayed, skipped: data.skipped, requestId, jobTotal: null };
  return { done: data.deleted, skipped: Math.max(0, asked - data.deleted), requestId, jobTotal: null };
}

/**
 * The ids of a selection, as many as a call may name at a time.
 * @param {string} tenant
 * @param {Selection} selection
 */
async function* batches(tenant, { ids, filter }) {
  if (ids !== null) {
    for (let at = 0; at < ids.length; at += atOnce) yield ids.slice(at, at + atOnce);
    return;
  }
  for (let cursor = "0"; cursor !== ""; ) {
    const answer = await api.get("/dead-letters/summaries", { tenant, query: { ...queryOf(filter), limit: atOnce, cursor } });
    const page = /** @type {SummaryPage} */ (answer.data);
    if (page.data.length > 0) yield page.data.map((letter) => letter.id);
    cursor = page.next_cursor;
  }
}
