// @ts-check
// The users, for those who may see them.
import { api, session } from "../../api.js";
import { usePolled } from "../../live.js";
import { useMemo } from "../html.js";

/** @typedef {import("../../types/api").User} User */

/** All users, page by page. @returns {Promise<User[]>} */
export async function readUsers(/** @type {AbortSignal} */ signal) {
  /** @type {User[]} */
  const all = [];
  for (let cursor = ""; ; ) {
    const { data } = await api.get("/users", { query: { limit: 1000, cursor }, signal });
    all.push(...data.data);
    cursor = data.next_cursor;
    if (cursor === "") return all;
  }
}

/** The users by their ids; none for those who are no admins. @returns {Map<string, User>} */
export function useUsers() {
  const { data } = usePolled(readUsers, [], { every: 60_000, enabled: session.can("admin") });
  return useMemo(() => new Map((data ?? []).map((u) => [u.id, u])), [data]);
}

/** What the limits are called, in the order in which they are shown. */
export const limitWords = {
  tenants: "Tenants", tenants_per_minute: "New tenants a minute", workers: "Workers of all tenants", endpoints_per_tenant: "Endpoints of each tenant",
  streams: "Open streams", backlog_mib: "Waiting in all queues, MiB", backlog_mib_per_tenant: "Waiting in one queue, MiB", publish_rate: "Messages a second",
};
