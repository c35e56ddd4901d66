// @ts-check
// The API keys of a tenant.
import { html } from "../parts/html.js";
import { Keys } from "../parts/ops/keys.js";
import { TenantTab } from "../parts/ops/tenant-tab.js";

/** @param {{params: Record<string, string>}} props */
export default function Page({ params }) {
  return html`<${TenantTab} key=${params.id} id=${params.id} tab="keys">
    ${() => html`<${Keys} path=${`/tenants/${params.id}/api-keys`} title="API keys" owner=${false} />`}<//>`;
}
