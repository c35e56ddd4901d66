// @ts-check
// How programs reach a tenant: its address, what to paste, and AMQP credentials.

import { session } from "../api.js";
import { CodeBlock } from "../parts/basics.js";
import { html } from "../parts/html.js";
import { AMQPCredentials, fact, useCredentials } from "../parts/tenant/amqp.js";
import { TenantPage } from "../parts/tenant/frame.js";
import { curlPublish, curlStream, goProgram, nodeProgram, pikaProgram } from "../parts/tenant/snippets.js";
import { Link, setQuery } from "../router.js";

/** @param {{params: {id: string}, query: Record<string, string>}} props */
export default function Page({ params, query }) {
  return html`<${TenantPage} key=${params.id} id=${params.id} tab="connect">
    ${(/** @type {import("../parts/tenant/state.js").TenantState} */ { tenant }) => html`<${Connect} tenant=${tenant} chosen=${query.with ?? ""} />`}
  <//>`;
}

/** What one can paste. @type {Record<string, string>} */
const languages = { curl: "curl", go: "Go", node: "Node", python: "Python, AMQP" };

/** @param {{tenant: import("../parts/tenant/types.js").Tenant, chosen: string}} props */
function Connect({ tenant, chosen }) {
  const may = !session.portal && session.can("member");
  const amqp = useCredentials(tenant.id, may);
  const language = chosen in languages ? chosen : "curl";
  const base = `/tenants/${encodeURIComponent(tenant.id)}`;
  const open = session.token === "";
  return html`<div class="connect">
    <section aria-label="Programs">
      <div class="choice" role="group" aria-label="Language">${Object.entries(languages).map(([key, label]) => html`
        <button key=${key} type="button" aria-pressed=${key === language ? "true" : "false"} onClick=${() => setQuery({ with: key })}>${label}</button>`)}</div>
      <${Programs} tenantId=${tenant.id} language=${language} amqp=${amqp.credentials} />
    </section>
    <aside>
      <section aria-label="Address"><h2>Address</h2><dl class="facts">
        ${fact("API", `${location.origin}/api`)}
        ${fact("X-Tenant-ID", tenant.id)}
        ${tenant.external_id && fact("or", `ext:${tenant.external_id}`)}
        <div><dt>Authorization</dt><dd>${open ? html`<span class="muted">none: the service is in open mode</span>`
          : html`<code>Bearer</code> and an <${Link} href=${`${base}/keys`}>API key<//>`}</dd></div>
      </dl></section>
      ${may && html`<${AMQPCredentials} amqp=${amqp} />`}
    </aside>
  </div>`;
}

/** @param {{tenantId: string, language: string, amqp: import("../parts/tenant/amqp.js").Credentials | null}} props */
function Programs({ tenantId, language, amqp }) {
  switch (language) {
    case "go":
      return html`<p>With <code>pkg/client</code>: retries by itself, safely.</p><${CodeBlock} language="go" text=${goProgram(tenantId)} />`;
    case "node":
      return html`<p>With the client in <code>clients/typescript</code>, for Node 20 and browsers.</p><${CodeBlock} language="js" text=${nodeProgram(tenantId)} />`;
    case "python":
      return html`<p>With <code>pika</code>, straight to the broker.${amqp ? "" : " Issue AMQP credentials first."}</p><${CodeBlock} language="python" text=${pikaProgram(amqp, tenantId)} />`;
    default:
      return html`<p>Publish a message. 202 means that it is on disk.</p><${CodeBlock} language="sh" text=${curlPublish(tenantId)} />
        <p>Follow the stream, from the first message that is kept.</p><${CodeBlock} language="sh" text=${curlStream(tenantId)} />`;
  }
}
