// @ts-check
// What the pages of a tenant that are about its operation have in common.
import { api } from "../../api.js";
import { usePolled } from "../../live.js";

/** The name of a tenant; "" until it is known. */
export function useTenantName(/** @type {string} */ id) {
  const { data } = usePolled((signal) => api.get(`/tenants/${encodeURIComponent(id)}`, { signal }), [id], { every: 30_000 });
  return /** @type {string} */ (data?.data.name ?? "");
}

export { TenantPage as TenantTab } from "../tenant/frame.js";
