// @ts-check
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Link } from "../router.js";
import { Button, ButtonLink, Chart, Chip, CodeBlock, compact, count, counted, duration, Empty, html, PageHead, ProblemView, rate, say, sayProblem, Time, useMemo, useState } from "../parts/index.js";

/** What is going on, and does anything need me? */
export default function Overview() {
  const { data, problem } = usePolled(async (signal) => (await api.get("/overview", { signal })).data, []);
  const shown = data || null;
  return html`<${PageHead} title="Overview" sentence=${shown ? sentence(shown) : ""} state=${shown ? stateOf(shown) : undefined}
      actions=${session.can("member") && !session.tenant && html`<${ButtonLink} href="/tenants?create=1">Create a tenant<//>`} />
    ${!shown && html`<${ProblemView} problem=${problem} />`}
    ${shown && shown.age_seconds > 10 && html`<p class="calm old"><${Chip} state="waits">As of ${duration(shown.age_seconds)} ago: PostgreSQL does not answer, so nothing newer is known. Publishing goes on.<//></p>`}
    ${shown && (shown.tenants.total === 0 ? html`<${First} open=${shown.open_mode} />` : html`<${Attention} items=${shown.attention} />`)}
    ${shown && shown.tenants.total > 0 && html`<${Numbers} overview=${shown} />`}
    ${shown && shown.rates && shown.tenants.total > 0 && html`<${Rates} rates=${shown.rates} />`}
    ${shown && shown.servers && html`<${Servers} overview=${shown} />`}`;
}

function stateOf(/** @type {any} */ o) {
  if (o.tenants.total === 0) return "inactive";
  if (o.attention.length === 0) return "flows";
  return o.tenants.failing > 0 || o.tenants.stopped > 0 ? "fails" : "waits";
}

/** The answer, in a sentence. */
function sentence(/** @type {any} */ o) {
  const { total, flowing } = o.tenants;
  if (total === 0) return "There are no tenants yet.";
  const flow = flowing === total ? html`${total === 1 ? "The only tenant flows" : html`All <strong>${count(total)}</strong> tenants flow`}`
    : html`<strong>${count(flowing)}</strong> of ${counted(total, "tenant")} ${flowing === 1 ? "flows" : "flow"}`;
  const n = o.attention.length;
  if (n === 0) return html`${flow}, ${o.backlog.messages === 0 ? "nothing waits" : html`<strong>${counted(o.backlog.messages, "message")}</strong> waiting`}, nothing needs you.`;
  const first = o.attention.slice(0, 2).map((/** @type {any} */ a) => String(a.sentence).replace(/\.$/, ""));
  return html`${flow}, <strong>${n >= 50 ? "50 or more" : n}</strong> ${n === 1 ? "needs" : "need"} you: <span class="name">${first.join("; ")}</span>${n > 2 ? ` and ${n - 2} more.` : "."}`;
}

/** What helps, one button each. */
function Attention({ items }) {
  if (items.length === 0) {
    return html`<section aria-label="What needs attention"><p class="calm"><${Chip} state="flows">Nothing needs attention<//></p></section>`;
  }
  return html`<section aria-labelledby="attention"><div class="titled"><h2 id="attention">What needs attention</h2><span class="muted">most messages first</span></div>
    <ul class="attention">${items.map((/** @type {any} */ item) => html`<${Item} key=${`${item.tenant_id} ${item.kind} ${item.endpoint_id || ""}`} item=${item} />`)}</ul></section>`;
}

const red = new Set(["consumer_failed", "no_consumer", "breaker_open", "endpoint_disabled"]);

function Item({ item }) {
  const [busy, setBusy] = useState(false);
  const href = item.tenant_id && `/tenants/${item.tenant_id}${item.endpoint_id ? `/endpoints/${item.endpoint_id}` : ""}`;
  const act = async () => {
    setBusy(true);
    try {
      const { method, path, label, body } = item.action;
      const { headers } = await api.call(method, path, { body: body ?? undefined });
      say({ text: html`${label}: done for <span class="name">${item.tenant_name}</span>.`, requestId: headers.get("X-Request-ID") || "" });
    } catch (error) {
      sayProblem(error, item.action.label);
    } finally {
      setBusy(false);
    }
  };
  return html`<li><span class="dot" data-state=${red.has(item.kind) ? "fails" : "waits"}></span>
    <span class="what">${href ? html`<${Link} href=${href} class="name">${item.sentence}<//>` : html`<span class="name">${item.sentence}</span>`}</span>
    <span class="how-many">${item.messages > 0 && counted(item.messages, "message")}</span>
    <span class="since">${item.since && html`<${Time} at=${item.since} />`}</span>
    ${item.action && session.can("member") ? html`<${Button} kind="small" busy=${busy} onClick=${act}>${item.action.label}<//>`
      : href && html`<${ButtonLink} kind="small" href=${href}>Look<//>`}</li>`;
}

function Numbers({ overview: o }) {
  const now = o.rates && o.rates.length > 0 ? o.rates[o.rates.length - 1] : null;
  const e = o.endpoints;
  const failing = e.breaker_open + e.disabled;
  return html`<section class="section" aria-label="Now"><div class="numbers">
    ${now && html`<div><span class="what">Stored</span><span class="much">${rate(now.stored)} <span class="unit">/s</span></span><span class="more">${rate(now.accepted)} /s accepted</span></div>`}
    <${Link} href="/tenants?sort=backlog"><span class="what">Waiting</span><span class="much">${count(o.backlog.messages)}</span>
      <span class="more">${o.backlog.messages === 0 ? "nothing waits" : o.backlog.oldest_seconds === null ? "in all queues" : `oldest ${duration(o.backlog.oldest_seconds)}`}</span><//>
    <div><span class="what">History</span><span class="much" title=${count(o.stored_total)}>${compact(o.stored_total)}</span><span class="more">messages stored</span></div>
    <${Link} href="/dead-letters"><span class="what">Dead letters</span><span class="much">${count(o.dead_letters)}</span><span class="more">${o.dead_letters === 0 ? "none to replay" : "to look at or replay"}</span><//>
    <div><span class="what">Endpoints</span><span class="much">${count(e.total)}</span>
      <span class=${`more ${failing > 0 ? "bad" : ""}`}>${failing > 0 ? `${count(failing)} not answering` : e.held > 0 ? `${count(e.held)} held` : `${count(e.lag)} behind`}</span></div>
  </div></section>`;
}

/** How many points of 5 s a chart has at least. */
const fewest = 36;

/** The last minutes of this replica: 15, or since it began. */
function Rates({ rates: all }) {
  const began = all.findIndex((/** @type {any} */ r) => r.accepted !== null);
  const rates = all.slice(Math.max(0, Math.min(began < 0 ? all.length : began, all.length - fewest)));
  const series = useMemo(() => {
    const of = (/** @type {string} */ name) => rates.map((/** @type {any} */ r) => r[name] ?? null);
    return {
      times: rates.map((/** @type {any} */ r) => Date.parse(r.at) / 1000),
      flow: [{ label: "accepted", values: of("accepted") }, { label: "stored", values: of("stored") }, { label: "delivered", values: of("delivered") }],
      wait: [{ label: "publish p50", values: of("publish_p50_ms") }, { label: "publish p99", values: of("publish_p99_ms") }, { label: "stored p99", values: of("end_to_end_p99_ms") }],
    };
  }, [all]);
  return html`<section class="section" aria-labelledby="rates"><div class="titled"><h2 id="rates">Last ${Math.round(rates.length / 12)} minutes</h2><span class="muted">of this replica</span></div>
    <div class="charts"><${Chart} title="Messages" unit="/s" series=${series.flow} times=${series.times} />
      <${Chart} title="Latency" unit="ms" series=${series.wait} times=${series.times} /></div></section>`;
}

/** @type {Record<string, string>} */
const chips = { ready: "flows", starting: "waits", degraded: "waits", unavailable: "fails" };

function Servers({ overview: o }) {
  const names = /** @type {Record<string, string>} */ ({ database: "PostgreSQL", broker: "RabbitMQ", redis: "Redis" });
  return html`<section class="section" aria-labelledby="servers"><div class="titled"><h2 id="servers">What it runs on</h2></div>
    <div class="servers">${Object.entries(names).map(([key, name]) => o.servers[key] && html`<span key=${key}>${name} <${Chip} state=${chips[o.servers[key]] || "fails"}>${o.servers[key]}<//></span>`)}
      ${o.replicas !== null && o.replicas !== undefined && html`<span>${counted(typeof o.replicas === "number" ? o.replicas : o.replicas.length, "replica")}</span>`}
      ${o.version && html`<span>version ${o.version}</span>`}</div></section>`;
}

/** Before the first tenant: what one is, and how to make it. */
function First({ open }) {
  const token = open ? "" : ` \\\n  -H 'Authorization: Bearer TOKEN'`;
  return html`<${Empty} title="Make the first tenant">
    <p>A tenant is one customer. It has a queue, a consumer, workers and a history of its own, and no other can slow it down.</p>
    ${session.can("member") && html`<${ButtonLink} kind="primary" href="/tenants?create=1">Create a tenant<//>`}
    <p>Or with curl:</p>
    <${CodeBlock} language="sh" text=${`curl -X POST ${location.origin}/api/tenants${token} \\\n  -H 'Content-Type: application/json' \\\n  -d '{"name": "Acme"}'`} />
  <//>`;
}
