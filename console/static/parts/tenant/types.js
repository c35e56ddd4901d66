// @ts-check
// The shapes of answers that the pages of a tenant read.

/**
 * @typedef {object} TenantRow a tenant as GET /overview/tenants/{id} shows it
 * @property {string} tenant_id
 * @property {string} state
 * @property {number} workers
 * @property {number} busy
 * @property {number | null} backlog
 * @property {number | null} oldest_seconds
 * @property {number} last_seq
 * @property {number | null} rate messages a second
 * @property {string | null} last_stored_at
 * @property {number} dead_letters
 * @property {number} endpoints
 * @property {number} endpoints_failing
 * @property {number} lag
 */

/**
 * @typedef {object} Cause why something waits
 * @property {string} kind
 * @property {string} sentence
 * @property {string} [help]
 * @property {string} [since]
 * @property {string} [endpoint_id]
 */

/**
 * @typedef {object} Explanation
 * @property {string} at
 * @property {boolean} [flows] of a tenant
 * @property {string} [state] of a message
 * @property {string} sentence
 * @property {string} [help]
 * @property {Cause[]} [causes]
 */

/** @typedef {import("../../types/api").Tenant} Tenant */
/** @typedef {import("../../types/api").Consumer} Consumer whose workers are those that it has, while it runs */
/** @typedef {import("../../types/api").Message} Message */
/** @typedef {import("../../types/api").MessageDetail & {trace_id?: string}} MessageDetail */
/** @typedef {import("../../types/api").MessageDelivery} Delivery */
/** @typedef {import("../../types/api").Attempt} Attempt */

export {};
