// @ts-check
// Attempts to deliver to an endpoint, newest first, and one of them with its answer.
import { api } from "../../api.js";
import { usePolled } from "../../live.js";
import { Link, setQuery, useRoute } from "../../router.js";
import { Button, Chip, Copy, Empty, NewRows, ProblemView, ShortId, Time } from "../basics.js";
import { Dialog } from "../dialog.js";
import { count, exact, visible } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { Table } from "../table.js";
import { useAction } from "./action.js";
import { decode, hexLines } from "./bytes.js";
import { Choice, Facts } from "./section.js";

/** @typedef {import("../../types/api").Attempt} Attempt */
/** @typedef {import("../../types/api").AttemptPage} AttemptPage */

const limit = 50;

/** What came of an attempt; a probe that fails is tried again without a time that is known. */
const chip = (/** @type {Attempt} */ a) => {
  if (a.error === "") return html`<${Chip} state="flows">delivered<//>`;
  return a.next_at || a.probe ? html`<${Chip} state="waits">tried again<//>` : html`<${Chip} state="fails">failed<//>`;
};

/** The beginning of an answer, on one line. */
function beginning(/** @type {Attempt} */ a) {
  if (a.answer !== undefined) return visible(a.answer.slice(0, 160).replace(/\s+/g, " "));
  return a.answer_base64 === undefined ? "" : "(no text)";
}

/** What went wrong, and what was answered. */
const said = (/** @type {Attempt} */ a) => html`<span class="cut"><span>${a.error ? visible(a.error) : `status ${a.status}`}</span> <span class="muted">${beginning(a)}</span></span>`;

/** @type {import("../table.js").Column[]} */
const columns = [
  { key: "at", head: "When", narrow: "line", cell: (/** @type {Attempt} */ a) => html`<${Time} at=${a.at} />` },
  { key: "state", head: "Outcome", cell: chip },
  { key: "seq", head: "Message", align: "right", cell: (/** @type {Attempt} */ a) => count(a.seq) },
  { key: "number", head: "Attempt", align: "right", cell: (/** @type {Attempt} */ a) => html`${count(a.number)}${a.probe && html` <span class="muted">probe</span>`}` },
  { key: "duration_ms", head: "Took", unit: "ms", align: "right", cell: (/** @type {Attempt} */ a) => count(a.duration_ms) },
  { key: "answer", head: "Error and answer", width: "grow", narrow: "title", cell: said },
];

/**
 * The attempts of an endpoint. New ones are shown at once, unless older pages are open:
 * then they collect.
 * @param {{path: string, tenantId: string, onPage: (newest: Attempt[]) => void}} props
 */
export function Attempts({ path, tenantId, onPage }) {
  const { query } = useRoute();
  const status = query.status === "failed" || query.status === "succeeded" ? query.status : "";
  const read = (/** @type {string} */ cursor, /** @type {AbortSignal | undefined} */ signal) =>
    api.get(`${path}/attempts`, { query: { status, limit, cursor }, signal }).then((answer) => /** @type {AttemptPage} */ (answer.data));
  const { data, problem } = usePolled((signal) => read("", signal).then((page) => ({ status, page })), [path, status]);
  const [older, setOlder] = useState(/** @type {{status: string, rows: Attempt[], cursor: string} | null} */ (null));
  const { busy, problem: olderProblem, run } = useAction();
  useEffect(() => setOlder(null), [path, status]);
  const current = data?.status === status ? data.page : null;
  const page = useRef(onPage);
  page.current = onPage;
  useEffect(() => { if (current) page.current(current.data); }, [current]);
  const rows = older ? older.rows : current?.data ?? [];
  const cursor = older ? older.cursor : current?.next_cursor ?? "";
  const more = async () => {
    const next = await run("more", () => read(cursor, undefined));
    if (next) setOlder({ status, rows: [...rows, ...next.data], cursor: next.next_cursor });
  };
  const known = new Set(rows.map((a) => a.id));
  const waiting = older ? (current?.data ?? []).filter((a) => !known.has(a.id)).length : 0;
  const open = query.attempt ? [...rows, ...(current?.data ?? [])].find((a) => a.id === query.attempt) : undefined;
  const why = status === "failed" ? "No attempt has failed as far back as they are kept." : "As soon as a message is delivered, each attempt is listed here with its answer.";
  return html`
    <${Choice} label="Which attempts" value=${status} options=${[["", "All"], ["failed", "Failed"], ["succeeded", "Delivered"]]} onChange=${(/** @type {string} */ value) => setQuery({ status: value, attempt: "" })} />
    ${!current && html`<${ProblemView} problem=${problem} />`}
    <${NewRows} count=${waiting} label=${waiting === limit ? `${limit} or more new` : undefined} onShow=${() => setOlder(null)} />
    <${Table} label="Attempts" rows=${rows} columns=${columns} busy=${!current} rowKey=${(/** @type {Attempt} */ a) => a.id}
      href=${(/** @type {Attempt} */ a) => hrefOf(a)} empty=${html`<${Empty} title=${status === "failed" ? "No failures" : "No attempts"}><p>${why}</p><//>`} />
    <${ProblemView} problem=${olderProblem} />
    ${cursor !== "" && html`<p class="paged"><${Button} busy=${busy !== ""} onClick=${more}>Older attempts<//></p>`}
    ${open && html`<${AttemptDialog} attempt=${open} tenantId=${tenantId} onClose=${() => setQuery({ attempt: "" })} />`}`;
}

/** The address of the page with an attempt open. */
function hrefOf(/** @type {Attempt} */ a) {
  const query = new URLSearchParams(location.search);
  query.set("attempt", a.id);
  return `${location.pathname}?${query}`;
}

/** @param {{attempt: Attempt, tenantId: string, onClose: () => void}} props */
function AttemptDialog({ attempt: a, tenantId, onClose }) {
  const message = html`<${Link} href=${`/tenants/${tenantId}/messages/${a.message_id}`}>number ${count(a.seq)}<//>`;
  return html`<${Dialog} title=${`Attempt ${a.number} for message ${count(a.seq)}`} wide=${true} onClose=${onClose}>
    <${Facts} label="Attempt" facts=${[
      ["Outcome", chip(a)], ["Error", a.error && visible(a.error)], ["Status", a.status ?? (a.error ? "no answer" : "")], ["Began", exact(a.at)],
      ["Took", `${count(a.duration_ms)} ms`], ["Next attempt due", a.next_at && html`<${Time} at=${a.next_at} />`], ["Message", message], ["Message id", html`<${ShortId} id=${a.message_id} />`],
      ["Probe", a.probe && "yes: it used up no attempt"], ["Replay", a.replay_id && html`<${ShortId} id=${a.replay_id} />`],
    ]} />
    <h3>The beginning of its answer</h3>
    <${Answer} attempt=${a} />
    <footer><${Button} onClick=${onClose}>Close<//></footer>
  <//>`;
}

/** @param {{attempt: Attempt}} props */
function Answer({ attempt: a }) {
  if (a.answer === undefined && a.answer_base64 === undefined) return html`<p class="muted">${a.status === null ? "There was no answer." : "It had no body."}</p>`;
  const text = a.answer === undefined ? hexLines(decode(/** @type {string} */ (a.answer_base64))) : visible(a.answer);
  return html`<figure class="code"><pre tabindex="0">${text}</pre><${Copy} text=${a.answer ?? a.answer_base64} /></figure>`;
}
