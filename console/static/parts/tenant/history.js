// @ts-check
// A page of a tenant's history, with the way to the pages before and after it.

import { api, asProblem } from "../../api.js";
import { setQuery } from "../../router.js";
import { Button, ProblemView } from "../basics.js";
import { count } from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { Find } from "./find.js";
import { rowOf } from "./live-list.js";
import { MessagesTable } from "./messages-table.js";

/** How many messages a page has. */
const pageRows = 50;

/**
 * Reads the page before a seq, or after one; newest first in either case.
 * @param {string} tenantId
 * @param {{before?: string, after?: string}} place
 * @param {AbortSignal} signal
 */
async function readPage(tenantId, { before, after }, signal) {
  const query = before ? { order: "desc", cursor: before, limit: pageRows } : { order: "asc", cursor: after, limit: pageRows };
  const { data } = await api.get("/messages", { tenant: tenantId, query, signal });
  const rows = data.data.map((/** @type {any} */ m) => rowOf(m));
  const end = data.next_cursor === ""; // in the direction of reading
  if (!before) rows.reverse();
  return { rows, atOldest: before ? end : false, atNewest: before ? false : end };
}

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {{before?: string, after?: string}} props.place
 * @param {number | null} props.last the seq of the newest message, where it is known
 */
export function History({ tenantId, place, last }) {
  const [page, setPage] = useState(/** @type {Awaited<ReturnType<typeof readPage>> | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(true);
  const [round, setRound] = useState(0);
  const { before, after } = place;

  useEffect(() => {
    const end = new AbortController();
    setBusy(true);
    readPage(tenantId, { before, after }, end.signal).then(
      (p) => {
        setPage(p);
        setProblem(null);
        setBusy(false);
        if (p.atNewest) live(true); // from here on there is a stream
      },
      (e) => end.signal.aborted || (setProblem(asProblem(e)), setBusy(false)),
    );
    return () => end.abort();
  }, [tenantId, before, after, round]);

  const rows = page?.rows ?? [];
  const first = rows[0]?.seq;
  const oldest = rows.at(-1)?.seq;
  const newer = () => setQuery({ before: null, after: first ?? place.before }, { replace: false });
  const older = () => setQuery({ after: null, before: oldest ?? place.after }, { replace: false });
  const ends = page?.atOldest || oldest === 1;
  const range = rows.length === 0 ? "No messages" : `${count(first)} to ${count(oldest)}${last === null ? "" : ` of ${count(Math.max(last, first))}`}`;

  return html`<section aria-label="History">
    <div class="list-head">
      <span class="list-state">${range}</span>
      <${Find} tenantId=${tenantId} />
      <div class="list-buttons">
        <${Button} kind="quiet" onClick=${() => live()}>Live<//>
        <${Button} disabled=${busy && !page} onClick=${newer}>Newer<//>
        <${Button} disabled=${ends || busy && !page} onClick=${older}>Older<//>
      </div>
    </div>
    ${problem && html`<${ProblemView} problem=${problem} action=${problem.code === "cursor_expired"
      ? html`<${Button} onClick=${() => setQuery({ before: null, after: "0" })}>Show the oldest kept<//>`
      : html`<${Button} onClick=${() => setRound(round + 1)}>Try again<//>`} />`}
    <${MessagesTable} tenantId=${tenantId} rows=${rows} label="Messages" busy=${busy} empty=${busy ? "" : "No messages here."} />
  </section>`;
}

/** Back to the newest, live. */
function live(replace = false) {
  setQuery({ before: null, after: null }, { replace });
}
