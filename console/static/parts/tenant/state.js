// @ts-check
// What is known of one tenant, kept up to date while its pages are open.

import { api, serverNow } from "../../api.js";
import { usePolled } from "../../live.js";
import { words } from "../../pages/states.js";
import { count, counted, rate, duration } from "../format.js";

/**
 * @typedef {import("./types.js").Tenant} Tenant
 * @typedef {import("./types.js").Consumer} Consumer
 * @typedef {import("./types.js").TenantRow} TenantRow
 * @typedef {import("./types.js").Explanation} Explanation
 */

/**
 * @typedef {object} TenantState
 * @property {Tenant} tenant
 * @property {Consumer | null} consumer null when only that could not be read
 * @property {TenantRow | null} row null where the service has no overview
 * @property {Explanation | null} explained null where the service does not explain
 */

/** Calls that this service does not have are not made again. */
const missing = new Set();

/**
 * What a call answers, or null when it cannot be had: what a page shows besides must not
 * keep it from showing the rest.
 * @param {string} call what it is, without ids
 * @param {string} path
 * @param {import("../../api.js").Options} options
 * @returns {Promise<any>}
 */
export async function extra(call, path, options) {
  if (missing.has(call)) return null;
  try {
    return (await api.get(path, options)).data;
  } catch (problem) {
    if (/** @type {any} */ (problem).code === "route_not_found") missing.add(call);
    return null;
  }
}

/**
 * Asks for all that the head of a tenant's pages shows.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<TenantState>}
 */
async function readTenant(id, signal) {
  const at = encodeURIComponent(id);
  const [tenant, consumer, row, explained] = await Promise.all([
    api.get(`/tenants/${at}`, { signal }).then((answer) => /** @type {Tenant} */ (answer.data)),
    extra("consumer", `/consumers/${at}`, { signal }),
    extra("overview", `/overview/tenants/${at}`, { signal }),
    extra("explain", `/tenants/${at}/explain`, { signal }),
  ]);
  return { tenant, consumer, row, explained };
}

/** The tenant that was seen last, so that its head stays when one goes to another of its pages. */
let seen = /** @type {TenantState | null} */ (null);

/**
 * What is known of a tenant, asked for every 2 seconds.
 * @param {string} id
 */
export function useTenant(id) {
  const polled = usePolled(async (signal) => (seen = await readTenant(id, signal)), [id], { every: 2000 });
  return { ...polled, data: polled.data ?? (seen?.tenant.id === id ? seen : null) };
}

/**
 * How a tenant does, in one of the words of GET /overview/tenants.
 * @param {TenantState} state
 * @returns {string}
 */
export function stateOf({ tenant, consumer, row }) {
  if (tenant.status !== "active") return tenant.status;
  if (tenant.stopped) return "stopped";
  if (row) return row.state;
  if (!consumer) return "waits";
  if (consumer.state === "failed") return "fails";
  return consumer.state === "running" && (consumer.queue_depth ?? 0) <= consumer.workers ? "flows" : "waits";
}

/**
 * How a tenant does, in a sentence: the service's own, or where it has none the figures.
 * @param {TenantState} state
 */
export function sentenceOf(state) {
  const { tenant, consumer, row, explained } = state;
  if (explained?.sentence) return explained.sentence;
  const backlog = row?.backlog ?? consumer?.queue_depth ?? null;
  const waiting = backlog === null ? "how many wait is not known" : `${count(backlog)} waiting`;
  if (tenant.status === "provisioning") return "Is being made: it takes messages as soon as the broker has its queue.";
  if (tenant.status === "inactive") return `Inactive: takes no messages; the history stays, ${waiting}.`;
  if (tenant.stopped) return `Stopped: takes messages and stores none, ${waiting}.`;
  const running = consumer?.state === "running";
  const workers = `${count(running ? consumer.workers : 0)} of ${counted(tenant.workers, "worker")}`;
  const parts = [];
  if (row && row.rate !== null) parts.push(`${rate(row.rate)} ${row.rate === 1 ? "message" : "messages"} a second`);
  parts.push(waiting);
  if (backlog && row?.oldest_seconds) parts.push(`oldest ${duration(row.oldest_seconds)}`);
  parts.push(workers);
  const stored = row?.last_stored_at ? `last stored ${since(row.last_stored_at)}` : row?.last_seq === 0 ? "nothing stored yet" : "";
  if (stored) parts.push(stored);
  return `${words(stateOf(state)).word}: ${parts.join(", ")}.`;
}

/** @param {string} at */
function since(at) {
  const ms = serverNow() - Date.parse(at);
  return ms < 1000 ? "under 1 s ago" : `${duration(Math.floor(ms / 1000))} ago`;
}
