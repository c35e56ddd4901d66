// @ts-check
// Who did what, when, and what it was before and is now.
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Empty, NewRows, ShortId, Time } from "../parts/basics.js";
import { visible } from "../parts/format.js";
import { html, useMemo } from "../parts/html.js";
import { Diff } from "../parts/ops/diff.js";
import { useUsers } from "../parts/ops/users.js";
import { PageHead } from "../parts/page.js";
import { Paged, usePaged } from "../parts/paged.js";
import { Link, setQuery } from "../router.js";

/** @typedef {import("../types/api").AuditEntry} Entry */

/** What can be filtered by: the action, or the beginning of some, and its words. */
const actions = [
  ["", "Everything"], ["tenant.", "Tenants"], ["consumer.", "Consumers"], ["endpoint.", "Endpoints"], ["dead_letters.", "Dead letters"],
  ["api_key.", "API keys"], ["amqp_credentials.", "AMQP credentials"], ["user.", "Users"], ["login", "Logins"], ["login.failed", "Failed logins"],
];

/** What was done, in words. */
const words = {
  "tenant.create": "created the tenant", "tenant.change": "changed the tenant", "tenant.workers": "changed the number of workers", "tenant.delete": "deleted the tenant",
  "consumer.stop": "stopped the consumer", "consumer.start": "started the consumer", "consumer.stop_all": "stopped all consumers", "consumer.start_all": "started all consumers",
  "endpoint.create": "made an endpoint", "endpoint.change": "changed an endpoint", "endpoint.hold": "held an endpoint", "endpoint.resume": "resumed an endpoint",
  "endpoint.rotate_secret": "rotated an endpoint's secret", "endpoint.delete": "deleted an endpoint", "endpoint.replay": "began a replay", "endpoint.replay_cancel": "canceled a replay",
  "dead_letters.replay": "replayed dead letters", "dead_letters.delete": "deleted dead letters",
  "user.create": "created a user", "user.change": "changed a user", "user.delete": "deleted a user", "user.password": "changed a password", "user.logout": "logged out everywhere",
  "api_key.create": "made an API key", "api_key.revoke": "revoked an API key",
  "amqp_credentials.create": "issued AMQP credentials", "amqp_credentials.rotate": "rotated AMQP credentials", "amqp_credentials.revoke": "revoked AMQP credentials",
  login: "logged in", "login.failed": "failed to log in",
};

/** What was done, in words; its name where there are none. */
export function actionWords(/** @type {string} */ action) {
  return /** @type {Record<string, string>} */ (words)[action] ?? action;
}

/** @param {{query: Record<string, string>}} props */
export default function Page({ query }) {
  const filter = { tenant_id: query.tenant_id ?? "", actor: query.actor ?? "", action: query.action ?? "" };
  const key = JSON.stringify(filter);
  const load = (/** @type {string} */ cursor, /** @type {AbortSignal} */ signal) => api.get("/audit", { query: { ...filter, cursor, limit: 50 }, signal }).then((answer) => answer.data);
  const paged = usePaged(load, [key]);
  const newest = usePolled((signal) => api.get("/audit", { query: { ...filter, limit: 1 }, signal }).then((answer) => /** @type {Entry | undefined} */ (answer.data.data[0])), [key], { every: 3000 });
  const entries = /** @type {Entry[]} */ (paged.rows);
  const users = useUsers();
  const tenants = useTenants(entries);
  const changed = newest.data && entries.length > 0 && !paged.busy && Number(newest.data.id) > Number(entries[0].id);
  const last = newest.data ?? entries[0];
  const sentence = last ? html`Last: ${who(last, users)} ${actionWords(last.action)}, <${Time} at=${last.at} />.` : paged.busy ? "Loading …" : "Nothing is on record.";
  const narrowed = filter.tenant_id || filter.actor || filter.action;
  return html`<${PageHead} title="Audit" sentence=${sentence} />
    <form class="filters" onSubmit=${(/** @type {Event} */ e) => e.preventDefault()}>
      <label>What <select onChange=${(/** @type {any} */ e) => setQuery({ action: e.target.value })}>
        ${actions.map(([value, text]) => html`<option key=${value} value=${value} selected=${filter.action === value}>${text}</option>`)}
        ${filter.action && !actions.some(([value]) => value === filter.action) && html`<option value=${filter.action} selected>${filter.action}</option>`}
      </select></label>
      ${session.can("admin") && html`<label>Who <select onChange=${(/** @type {any} */ e) => setQuery({ actor: e.target.value })}>
        <option value="" selected=${filter.actor === ""}>Anybody</option>
        ${[...users.values()].map((u) => html`<option key=${u.id} value=${u.id} selected=${filter.actor === u.id}>${u.email}</option>`)}
        ${filter.actor && !users.has(filter.actor) && html`<option value=${filter.actor} selected>${filter.actor}</option>`}
      </select></label>`}
      <label>Tenant <input type="text" placeholder="Id, or ext: and your id" spellcheck=${false} autocomplete="off" value=${filter.tenant_id} onChange=${(/** @type {any} */ e) => setQuery({ tenant_id: e.target.value.trim() })} /></label>
      ${narrowed && html`<${Button} kind="quiet" onClick=${() => setQuery({ action: "", actor: "", tenant_id: "" })}>Clear<//>`}
    </form>
    ${changed && html`<${NewRows} count=${1} label="There is more since" onShow=${paged.reload} />`}
    ${entries.length === 0 && !paged.busy && !paged.problem && html`<${Empty} title="Nothing is on record"><p>${narrowed ? "Nothing of this kind was done, as far back as the audit log is kept." : "Who changes something is written down here: tenants, endpoints, dead letters, keys and users."}</p><//>`}
    <ol class="entries" aria-label="Audit log" aria-busy=${paged.busy}>${entries.map((e) => html`<${Line} key=${e.id} entry=${e} users=${users} tenants=${tenants} />`)}</ol>
    <${Paged} paged=${paged} noun="entries" />`;
}

/** The names of the tenants of entries, as far as they are there. */
function useTenants(/** @type {Entry[]} */ entries) {
  const ids = useMemo(() => [...new Set(entries.map((e) => e.tenant_id ?? ""))].filter(Boolean).sort(), [entries]);
  const { data } = usePolled(async (signal) => {
    const found = await Promise.all(ids.slice(0, 30).map((id) => api.get(`/tenants/${id}`, { signal }).then((answer) => [id, answer.data.name], () => [id, ""])));
    return new Map(/** @type {[string, string][]} */ (found));
  }, [ids.join()], { every: 60_000, enabled: ids.length > 0 });
  return data ?? new Map();
}

/** @typedef {Map<string, import("../types/api").User>} Users */

/** Who did something, as text. */
function who(/** @type {Entry} */ e, /** @type {Users} */ users) {
  const { kind, user_id: id } = e.actor;
  const email = id ? users.get(id)?.email ?? (session.user?.id === id ? session.user?.email : undefined) : undefined;
  if (kind === "open") return "Somebody in open mode";
  if (kind === "command") return "A command";
  if (kind === "anonymous") return "Somebody";
  return `${email ?? "A user"}${kind === "key" ? ", with an API key," : ""}`;
}

/** @param {{entry: Entry, users: Users, tenants: Map<string, string>}} props */
function Line({ entry: e, users, tenants }) {
  const name = e.tenant_id ? tenants.get(e.tenant_id) : "";
  const { user_id: user, key_id: apiKey, address } = e.actor;
  return html`<li>
    <div class="entry-line">
      <p>${user ? html`<${Link} href=${`/audit?actor=${user}`} class="row-link" title="Only what this user did">${who(e, users)}<//>` : html`<strong>${who(e, users)}</strong>`} ${actionWords(e.action)}${e.tenant_id && html` <span class="muted">of</span> ${name ? html`<${Link} href=${`/tenants/${e.tenant_id}`}><bdi>${name}</bdi><//>` : html`<${ShortId} id=${e.tenant_id} />`}`}</p>
      <${Time} at=${e.at} />
    </div>
    <${Diff} before=${e.before} after=${e.after} />
    <p class="entry-facts muted"><code>${e.action}</code>${e.target && html` <span>on ${e.target.includes("@") ? visible(e.target) : html`<${ShortId} id=${e.target} />`}</span>`}
      ${apiKey && html` <span>key <${ShortId} id=${apiKey} /></span>`}${address && html` <span>from ${address}</span>`}
      ${e.request_id && html` <span>request <${ShortId} id=${e.request_id} /></span>`}
</p>
  </li>`;
}
