// @ts-check
// Lists that the API gives in pages.
import { asProblem } from "../problem.js";
import { Button, ProblemView } from "./basics.js";
import { html, useCallback, useEffect, useRef, useState } from "./html.js";

/**
 * Reads a list page by page: load(cursor, signal) returns what the API answers, {data,
 * next_cursor}. It begins anew when deps change; until then the rows before are kept.
 *
 * @param {(cursor: string, signal: AbortSignal) => Promise<{data: any[], next_cursor?: string, total?: number}>} load cursor is "" for the first page
 * @param {any[]} deps
 * @returns {{rows: any[], total: number | null, more: boolean, busy: boolean, problem: any, at: number, loadMore: () => void, reload: () => void}}
 */
export function usePaged(load, deps) {
  const [shown, show] = useState({ rows: /** @type {any[]} */ ([]), cursor: "", total: /** @type {number | null} */ (null), busy: true, problem: /** @type {any} */ (null), at: 0 });
  const running = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef(load);
  latest.current = load;
  const read = useCallback(async (/** @type {string} */ cursor) => {
    if (running.current) running.current.abort();
    const mine = new AbortController();
    running.current = mine;
    show((before) => ({ ...before, busy: true, problem: null }));
    try {
      const page = await latest.current(cursor, mine.signal);
      if (running.current !== mine) return;
      show((before) => ({
        rows: cursor === "" ? page.data : [...before.rows, ...page.data], cursor: page.next_cursor || "",
        total: page.total ?? null, busy: false, problem: null, at: Date.now(),
      }));
    } catch (error) {
      if (running.current === mine) show((before) => ({ ...before, busy: false, problem: asProblem(error) }));
    }
  }, []);
  useEffect(() => {
    void read("");
    return () => { if (running.current) running.current.abort(); running.current = null; };
  }, deps);
  return {
    rows: shown.rows, total: shown.total, more: shown.cursor !== "", busy: shown.busy, problem: shown.problem, at: shown.at,
    loadMore: () => void read(shown.cursor), reload: () => void read(""),
  };
}

/** Below a list: the next page, and what went wrong with it. */
export function Paged({ paged, noun = "rows" }) {
  return html`<${ProblemView} problem=${paged.problem} />
    ${paged.more && html`<p class="paged"><${Button} busy=${paged.busy} onClick=${paged.loadMore}>More ${noun}<//>
      <span class="muted">${paged.rows.length}${paged.total !== null ? ` of ${paged.total}` : ""} shown</span></p>`}`;
}
