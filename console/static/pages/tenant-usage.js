// @ts-check
// What was stored for a tenant each day, for invoices.

import { api, serverNow } from "../api.js";
import { usePolled } from "../live.js";
import { Button, ProblemView } from "../parts/basics.js";
import { bytes, count, counted } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { sayProblem } from "../parts/outcomes.js";
import { Table } from "../parts/table.js";
import { Bars } from "../parts/tenant/bars.js";
import { TenantPage } from "../parts/tenant/frame.js";
import { setQuery } from "../router.js";

/** @typedef {{day: string, messages: number, bytes: number}} Day */

/** How many days one may choose. */
const choices = [30, 90, 365];
const dayMs = 86_400_000;

/** @param {{params: {id: string}, query: Record<string, string>}} props */
export default function Page({ params, query }) {
  const days = choices.includes(Number(query.days)) ? Number(query.days) : choices[0];
  return html`<${TenantPage} key=${params.id} id=${params.id} tab="usage">
    ${(/** @type {import("../parts/tenant/state.js").TenantState} */ { tenant }) => html`<${Usage} tenant=${tenant} days=${days} />`}
  <//>`;
}

/** The days (UTC) up to today. @param {number} n */
function daysUntilToday(n) {
  const today = Math.floor(serverNow() / dayMs) * dayMs;
  return Array.from({ length: n }, (_, i) => new Date(today - (n - 1 - i) * dayMs).toISOString().slice(0, 10));
}

const columns = [
  { key: "day", head: "Day", unit: "UTC", sort: true, first: "desc" },
  { key: "messages", head: "Messages", align: "right", sort: true, cell: (/** @type {Day} */ d) => count(d.messages) },
  { key: "bytes", head: "Payloads", align: "right", sort: true, cell: (/** @type {Day} */ d) => bytes(d.bytes) },
  { key: "mean", head: "Mean payload", align: "right", cell: (/** @type {Day} */ d) => bytes(Math.round(d.bytes / d.messages)) },
];

/** @param {{tenant: import("../parts/tenant/types.js").Tenant, days: number}} props */
function Usage({ tenant, days }) {
  const wanted = daysUntilToday(days);
  const range = { tenant_id: tenant.id, from: wanted[0], to: wanted.at(-1), limit: 1000 };
  const { data, problem } = usePolled(async (signal) => /** @type {Day[]} */ ((await api.get("/usage", { query: range, signal })).data.data),
    [tenant.id, days, wanted.at(-1)], { every: 30_000 });
  const found = new Map((data ?? []).map((d) => [d.day, d]));
  const messages = wanted.map((day) => found.get(day)?.messages ?? 0);
  const sizes = wanted.map((day) => found.get(day)?.bytes ?? 0);
  const sum = messages.reduce((a, b) => a + b, 0);

  return html`<section class="usage" aria-label="Usage">
    <div class="list-head">
      <p class="usage-sentence">${data ? `${counted(sum, "message")} of ${bytes(sizes.reduce((a, b) => a + b, 0))} in ${days} days, counted at most a minute later.` : "Loading …"}</p>
      <div class="list-buttons">
        <label class="inline">Show <select value=${String(days)} onChange=${(/** @type {any} */ e) => setQuery({ days: e.currentTarget.value })}>
          ${choices.map((n) => html`<option key=${n} value=${String(n)}>${n} days</option>`)}</select></label>
        <${Download} range=${range} />
      </div>
    </div>
    ${problem && html`<${ProblemView} problem=${problem} />`}
    ${data && html`<div class="bars-pair">
      <${Bars} title="Messages" days=${wanted} values=${messages} format=${count} />
      <${Bars} title="Payloads" days=${wanted} values=${sizes} format=${bytes} />
    </div>`}
    <${Table} label="Usage by day" columns=${columns} rows=${data ?? []} rowKey=${(/** @type {Day} */ d) => d.day} defaultSort="-day" busy=${!data}
      empty="Nothing was stored in these days." />
  </section>`;
}

/** The same as CSV. A plain link could not show the token. @param {{range: Record<string, any>}} props */
function Download({ range }) {
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      /** @type {string[]} */
      const pages = [];
      for (let cursor = ""; ;) {
        const answer = await api.get("/usage", { query: { ...range, format: "csv", cursor } });
        const text = String(answer.data);
        pages.push(pages.length === 0 ? text : text.slice(text.indexOf("\n") + 1)); // one head
        cursor = answer.headers.get("Lanekeeper-Next-Cursor") ?? "";
        if (cursor === "") break;
      }
      save(new Blob(pages, { type: "text/csv" }), `usage-${range.tenant_id}-${range.from}-${range.to}.csv`);
    } catch (e) {
      sayProblem(e, "No CSV");
    } finally {
      setBusy(false);
    }
  };
  return html`<${Button} busy=${busy} onClick=${run}>Download CSV<//>`;
}

/** Hands a file to the browser. @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
