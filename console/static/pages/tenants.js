// @ts-check
import { api, asProblem, session } from "../api.js";
import { usePolled } from "../live.js";
import { match, navigate, setQuery } from "../router.js";
import { Button, Chip, count, counted, duration, Empty, html, Icon, Menu, PageHead, ProblemView, rate, say, sayProblem, Table, Time, useEffect, useRef, useState, visible } from "../parts/index.js";
import { states, words } from "./states.js";
import { CreateTenant, DeleteTenant } from "./tenant-dialogs.js";

/** How many rows are asked for at first, and at a time. */
const first = 200;
const most = 1000;

/** Which tenants are there, and how does each do? */
export default function Tenants({ query }) {
  const [wanted, setWanted] = useState(first);
  const [deleting, setDeleting] = useState(/** @type {any} */ (null));
  const sort = query.sort || "state";
  const filter = { q: query.q || "", state: query.state || "", sort };
  const list = usePolled((signal) => readTenants(filter, wanted, signal), [filter.q, filter.state, sort, wanted], { every: wanted > most ? 5000 : 2000 });
  const overview = usePolled(async (signal) => (await api.get("/overview", { signal })).data, [], { every: 5000 });
  useEffect(() => { setWanted(first); }, [filter.q, filter.state, sort]);

  const [gone, setGone] = useState(/** @type {string[]} */ ([])); // what is deleted goes at once, also from lists that are a moment old
  const rows = list.data ? list.data.rows.filter((row) => !gone.includes(row.tenant_id)) : [];
  const total = list.data ? list.data.total : 0;
  const filtered = filter.q !== "" || filter.state !== "";
  const may = session.can("member");
  const [settled, setSettled] = useState(0);
  const refresh = async () => {
    await Promise.all([list.refresh(), overview.refresh()]);
    setSettled((n) => n + 1);
  };
  const empty = list.data && (filtered
    ? html`<${Empty} title="No tenant is like that"><p>None of the ${overview.data ? count(overview.data.tenants.total) : ""} tenants fits.</p>
        <${Button} onClick=${() => setQuery({ q: null, state: null })}>Show all<//><//>`
    : html`<${Empty} title="There are no tenants yet"><p>A tenant is one customer. It has a queue, a consumer, workers and a history of its own.</p>
        ${may && !session.tenant && html`<${Button} kind="primary" onClick=${() => setQuery({ create: 1 })}>Create a tenant<//>`}<//>`);
  return html`<${PageHead} title="Tenants" sentence=${sentence(overview.data)}
      actions=${may && !session.tenant && html`<${Button} kind="primary" onClick=${() => setQuery({ create: 1 })}>Create a tenant<//>`} />
    <${Filters} filter=${filter} counts=${overview.data && overview.data.tenants} found=${filtered && list.data ? total : null} />
    ${list.problem && !list.problem.passing && html`<${ProblemView} problem=${list.problem} />`}
    <${Table} label="Tenants" columns=${columns} rows=${rows} rowKey=${(/** @type {any} */ row) => row.tenant_id} busy=${!list.data} settled=${settled}
      href=${(/** @type {any} */ row) => `/tenants/${row.tenant_id}`} sort=${sort} onSort=${(/** @type {string} */ s) => setQuery({ sort: s })}
      empty=${empty} onEnd=${() => { if (rows.length < total && rows.length >= wanted) setWanted(wanted < most ? most : wanted + most); }}
      actions=${may ? (/** @type {any} */ row) => html`<${Actions} row=${row} onDone=${refresh} onDelete=${() => setDeleting(row)} />` : undefined} />
    ${rows.length > 0 && rows.length < total - gone.length && html`<p class="paged muted">${count(rows.length)} of ${count(total)} shown; scroll for more.</p>`}
    ${query.create && may && html`<${CreateTenant} onClose=${() => setQuery({ create: null })} onCreated=${(/** @type {any} */ tenant) => {
      void refresh();
      if (match(`/tenants/${tenant.id}`).pattern) navigate(`/tenants/${tenant.id}`);
    }} />`}
    ${deleting && html`<${DeleteTenant} row=${deleting} onClose=${() => setDeleting(null)} onDeleted=${(/** @type {boolean} */ already) => {
      if (already) setGone((before) => [...before, deleting.tenant_id]);
      void refresh();
    }} />`}`;
}

/** Reads as many rows as are wanted, in pages. */
async function readTenants(/** @type {any} */ filter, /** @type {number} */ wanted, /** @type {AbortSignal} */ signal) {
  /** @type {any[]} */
  const rows = [];
  let cursor = "";
  for (;;) {
    const { data } = await api.get("/overview/tenants", { query: { ...filter, cursor, limit: Math.min(most, wanted - rows.length) }, signal });
    rows.push(...data.data);
    if (rows.length >= wanted || !data.next_cursor) return { rows, total: data.total };
    cursor = data.next_cursor;
  }
}

function sentence(/** @type {any} */ o) {
  if (!o) return "";
  if (o.tenants.total === 0) return "There are no tenants yet.";
  const waiting = o.backlog.messages;
  return html`<strong>${counted(o.tenants.total, "tenant")}</strong>, ${waiting === 0 ? "nothing waits."
    : html`<strong>${counted(waiting, "message")}</strong> waiting${o.backlog.oldest_seconds === null ? "." : `, oldest ${duration(o.backlog.oldest_seconds)}.`}`}`;
}

/** @type {Record<string, string>} */
const countOf = { fails: "failing", waits: "waiting", stopped: "stopped", provisioning: "provisioning", deleting: "deleting", inactive: "inactive", flows: "flowing" };

/** Search and states; both are kept in the address. */
function Filters({ filter, counts, found }) {
  const [text, setText] = useState(filter.q);
  const timer = useRef(0);
  useEffect(() => { setText(filter.q); }, [filter.q]);
  const type = (/** @type {any} */ event) => {
    const value = event.target.value;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ q: value.trim() }), 150);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const offered = states.filter((state) => !counts || counts[countOf[state]] > 0 || filter.state === state);
  return html`<div class="filters" role="search">
    <div class="search"><${Icon} name="search" /><input type="search" aria-label="Search tenants by name or id" placeholder="Name or id" autocomplete="off" spellcheck=${false} value=${text} onInput=${type} /></div>
    <div class="choice" role="group" aria-label="State">
      <button type="button" aria-pressed=${filter.state === "" ? "true" : "false"} onClick=${() => setQuery({ state: null })}>All ${counts && html`<span class="muted">${count(counts.total)}</span>`}</button>
      ${counts && offered.map((state) => html`<button key=${state} type="button" aria-pressed=${filter.state === state ? "true" : "false"}
        onClick=${() => setQuery({ state: filter.state === state ? null : state })}><${Chip} state=${words(state).chip}>${words(state).word}<//> <span class="muted">${count(counts[countOf[state]])}</span></button>`)}
    </div>
    <span class="push"></span><span class="muted" role="status">${found === null ? "" : `${count(found)} found`}</span></div>`;
}

const zero = (/** @type {any} */ n, /** @type {any} */ text) => (n ? text : html`<span class="zero">${text}</span>`);

const columns = [
  { key: "name", head: "Tenant", sort: true, oneWay: true, cell: (/** @type {any} */ row) => html`<span title=${visible(row.external_id ? `${row.name} (${row.external_id})` : row.name)}>${visible(row.name)}</span>${row.external_id && html` <span class="unit name">${visible(row.external_id)}</span>`}` },
  { key: "state", head: "State", sort: true, oneWay: true, cell: (/** @type {any} */ row) => html`<${Chip} state=${words(row.state).chip}>${words(row.state).word}<//>` },
  { key: "backlog", head: "Waiting", align: "right", sort: true, oneWay: true, cell: (/** @type {any} */ row) => zero(row.backlog, count(row.backlog)) },
  { key: "oldest", head: "Oldest", align: "right", sort: true, oneWay: true, narrow: "hide", cell: (/** @type {any} */ row) => (row.oldest_seconds ? duration(row.oldest_seconds) : html`<span class="zero">–</span>`) },
  { key: "rate", head: "Stored", unit: "/s", align: "right", sort: true, oneWay: true, cell: (/** @type {any} */ row) => zero(row.rate, rate(row.rate)) },
  { key: "workers", head: "Busy", align: "right", narrow: "hide", cell: (/** @type {any} */ row) => html`${zero(row.busy, count(row.busy))} <span class="unit">of ${row.workers}</span>` },
  { key: "stored", head: "Last stored", align: "right", sort: true, oneWay: true, narrow: "hide", cell: (/** @type {any} */ row) => html`<${Time} at=${row.last_stored_at} />` },
  { key: "dead_letters", head: "Dead letters", align: "right", sort: true, oneWay: true, narrow: "hide", cell: (/** @type {any} */ row) => zero(row.dead_letters, count(row.dead_letters)) },
  { key: "lag", head: "Undelivered", align: "right", sort: true, oneWay: true, cell: (/** @type {any} */ row) => (row.endpoints === 0 ? html`<span class="zero">–</span>`
    : html`<span title=${`${counted(row.endpoints, "endpoint")}${row.endpoints_failing > 0 ? `, ${count(row.endpoints_failing)} failing` : ""}`}>${zero(row.lag, count(row.lag))}</span>`) },
];

/** What can be done with a tenant from here. */
function Actions({ row, onDone, onDelete }) {
  if (row.state === "deleting") return null;
  const { stopped } = row;
  const consuming = row.status === "active";
  const items = [];
  if (consuming) items.push({ label: stopped ? "Start its consumer" : "Stop its consumer", onClick: () => void setRunning(row, stopped, onDone) });
  items.push({ label: "Delete…", danger: true, onClick: onDelete });
  return html`<${Menu} label=${`Actions for ${row.name}`} items=${items} />`;
}

/** Starts or stops a consumer, and offers to take that back. */
async function setRunning(/** @type {any} */ row, /** @type {boolean} */ run, /** @type {() => void} */ onDone) {
  const path = `/consumers/${row.tenant_id}`;
  try {
    const { headers } = run ? await api.post(path) : await api.del(path);
    const name = html`<span class="name">${row.name}</span>`;
    say({
      text: run ? html`The consumer of ${name} is started.` : html`The consumer of ${name} is stopped: what is published waits in its queue.`,
      requestId: headers.get("X-Request-ID") || "",
      undo: { label: run ? "Stop it again" : "Start it again", run: () => setRunning(row, !run, onDone) },
    });
  } catch (error) {
    sayProblem(asProblem(error), run ? "Not started" : "Not stopped");
  }
  onDone();
}
