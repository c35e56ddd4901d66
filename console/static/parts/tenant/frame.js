// @ts-check
// What all pages of a tenant have in common: who it is, how it does, what one may do with
// it, and the way to its other pages.

import { api, session } from "../../api.js";
import { words } from "../../pages/states.js";
import { DeleteTenant } from "../../pages/tenant-dialogs.js";
import { Link, navigate } from "../../router.js";
import { Button, Empty, ProblemView, ShortId, Tabs } from "../basics.js";
import { html, useCallback, useState } from "../html.js";
import { Menu } from "../menu.js";
import { say, sayProblem } from "../outcomes.js";
import { PageHead } from "../page.js";
import { EditTenant } from "./edit.js";
import { Help } from "./help.js";
import { sentenceOf, stateOf, useTenant } from "./state.js";
import { Workers } from "./workers.js";

/** @typedef {import("./state.js").TenantState} TenantState */

/** The way up, for those who may see more than this tenant. */
const crumbsFor = () => (session.portal ? [] : [{ href: "/tenants", label: "Tenants" }]);

/**
 * A tenant's page.
 * @param {object} props
 * @param {string} props.id
 * @param {"messages" | "endpoints" | "dead-letters" | "keys" | "usage" | "connect"} props.tab
 * @param {any} props.children what is below the head, or a function that makes it of the TenantState
 */
export function TenantPage({ id, tab, children }) {
  const { data, problem, state, refresh } = useTenant(id);
  const [dialog, setDialog] = useState("");
  const close = useCallback(() => setDialog(""), []);
  const leaving = dialog === "delete"; // that it is gone is no news then
  if (problem && problem.status === 404 && !(leaving && data)) return html`<${Gone} id=${id} name=${data?.tenant.name} />`;
  if (!data) {
    return html`<${PageHead} title="Tenant" sentence=${problem ? "What it does is not known." : "Loading …"} crumbs=${crumbsFor()} />
      ${problem && html`<${ProblemView} problem=${problem} action=${html`<${Button} onClick=${refresh}>Try again<//>`} />`}`;
  }
  const { tenant, consumer, row, explained } = data;
  const mayChange = session.may("manage");
  const base = `/tenants/${encodeURIComponent(id)}`;
  return html`
    <${PageHead} title=${tenant.name} sentence=${sentenceOf(data)} state=${words(stateOf(data)).chip} crumbs=${crumbsFor()}
      actions=${mayChange && html`<${Actions} tenant=${tenant} refresh=${refresh} open=${setDialog} />`} />
    ${explained && html`<${Help} explained=${explained} />`}
    <div class="tenant-facts">
      <${ShortId} id=${tenant.id} />
      ${tenant.external_id && html`<code class="tenant-external" title="External id">ext:${tenant.external_id}</code>`}
      ${tenant.description && html`<bdi class="tenant-description">${tenant.description}</bdi>`}
      <${Workers} tenant=${tenant} consumer=${consumer} mayChange=${mayChange} refresh=${refresh} />
    </div>
    <${Tabs} label="Pages of the tenant" current=${`${base}/${tab}`} tabs=${tabsOf(base, row)} />
    <div class="tenant-body" data-state=${state}>${typeof children === "function" ? children(data) : children}</div>
    ${dialog === "edit" && html`<${EditTenant} tenant=${tenant} onDone=${refresh} onClose=${close} />`}
    ${dialog === "delete" && html`<${DeleteTenant} row=${row ?? { tenant_id: tenant.id, name: tenant.name, last_seq: 0 }} onClose=${close}
      onDeleted=${() => navigate("/tenants", { replace: true })} />`}`;
}

/** @param {string} base @param {import("./types.js").TenantRow | null} row */
function tabsOf(base, row) {
  return [
    { href: `${base}/messages`, label: "Messages" },
    { href: `${base}/endpoints`, label: "Endpoints", count: row?.endpoints },
    { href: `${base}/dead-letters`, label: "Dead letters", count: row?.dead_letters },
    ...(session.portal ? [] : [{ href: `${base}/keys`, label: "API keys" }]),
    { href: `${base}/usage`, label: "Usage" },
    { href: `${base}/connect`, label: "Connect" },
  ];
}

/** @param {{tenant: import("./types.js").Tenant, refresh: () => Promise<void>, open: (dialog: string) => void}} props */
function Actions({ tenant, refresh, open }) {
  const [busy, setBusy] = useState(false);

  /** @param {boolean} stop */
  const set = async (stop) => {
    const path = `/consumers/${encodeURIComponent(tenant.id)}`;
    const answer = stop ? await api.del(path) : await api.post(path);
    const name = html`<span class="name">${tenant.name}</span>`;
    say({
      text: stop ? html`The consumer of ${name} is stopped: what is published waits in its queue.` : html`The consumer of ${name} is started.`,
      requestId: answer.headers.get("X-Request-ID") ?? "", undo: { label: stop ? "Start it again" : "Stop it again", run: () => set(!stop) },
    });
    await refresh();
  };
  const change = async () => {
    setBusy(true);
    await set(!tenant.stopped).catch(sayProblem);
    setBusy(false);
  };

  return html`
    ${tenant.status === "active" && html`<${Button} busy=${busy} onClick=${change}>${tenant.stopped ? "Start" : "Stop"}<//>`}
    ${!session.portal && html`<${Button} onClick=${() => open("edit")}>Edit<//>
    <${Menu} label="More actions" items=${[{ label: "Delete…", danger: true, onClick: () => open("delete") }]} />`}`;
}

/** @param {{id: string, name?: string}} props */
function Gone({ id, name }) {
  return html`
    <${PageHead} title=${name ?? "Tenant"} sentence=${name ? "This tenant was deleted." : "There is no such tenant, or it is not yours."} crumbs=${crumbsFor()} />
    <${Empty} title=${name ? "Nothing is left of it" : "Not found"}>
      <p>Its id was <${ShortId} id=${id} />.</p>
      ${!session.portal && html`<p><${Link} href="/tenants">All tenants<//></p>`}
    <//>`;
}
