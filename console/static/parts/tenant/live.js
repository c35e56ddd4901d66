// @ts-check
// A tenant's stream, as a list that a page shows.

import { api, asProblem, serverNow } from "../../api.js";
import { followStream } from "../../live.js";
import { useEffect, useRef, useState } from "../html.js";
import { LiveList } from "./live-list.js";

/** How many rows the list has. */
export const pageRows = 50;
/** For how long a page may be out of sight before its stream ends, in ms. */
const patience = 5_000;
/** So many messages in a row that are older than this, in ms, mean that it is better to begin anew. */
const behindBy = 15_000;
const behindFor = 1_000;

/**
 * Follows a tenant's messages while the page is to be seen.
 * @param {string} tenantId
 * @param {(message: import("./types.js").Message) => void} onMessage called for each, at once
 */
export function useLiveMessages(tenantId, onMessage) {
  const [, draw] = useState(0);
  const [state, setState] = useState(/** @type {{state: string, since: number}} */ ({ state: "loading", since: Date.now() }));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [loaded, setLoaded] = useState(false);
  /** Raised to begin anew. */
  const [round, setRound] = useState(0);
  const list = useRef(/** @type {LiveList | null} */ (null));
  list.current ??= new LiveList(pageRows, () => draw((n) => n + 1));
  const heard = useRef(onMessage);
  heard.current = onMessage;
  const visible = useVisible();

  useEffect(() => {
    if (!visible) return undefined;
    const rows = /** @type {LiveList} */ (list.current);
    setState({ state: "loading", since: Date.now() });
    const end = new AbortController();
    let behind = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    void (async () => {
      try {
        const { data } = await api.get("/messages", { tenant: tenantId, query: { order: "desc", limit: pageRows }, signal: end.signal });
        if (end.signal.aborted) return;
        setProblem(null);
        setLoaded(true);
        rows.begin(data.data);
        for (const m of data.data) heard.current(m);
        await followStream(tenantId, {
          after: data.data[0]?.seq ?? 0,
          signal: end.signal,
          onState: (s) => setState((was) => (was.state === s ? was : { state: s, since: Date.now() })),
          onMessage: (/** @type {any} */ m) => {
            behind = serverNow() - Date.parse(m.created_at) > behindBy ? behind + 1 : 0;
            if (behind > behindFor) {
              end.abort();
              setRound((n) => n + 1);
              return;
            }
            rows.add(m);
            heard.current(m);
          },
        });
      } catch (e) {
        if (end.signal.aborted) return;
        const p = asProblem(e);
        setProblem(p);
        setState({ state: "lost", since: Date.now() });
        if (p.status !== 404 && p.status !== 403) timer = setTimeout(() => setRound((n) => n + 1), 3_000);
      }
    })();
    return () => {
      clearTimeout(timer);
      end.abort();
      rows.end();
    };
  }, [tenantId, visible, round]);

  return { list: /** @type {LiveList} */ (list.current), state, problem, loaded };
}

/** Whether the page is to be seen, or was a moment ago. */
function useVisible() {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const changed = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => setVisible(false), patience);
      else setVisible(true);
    };
    document.addEventListener("visibilitychange", changed);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", changed);
    };
  }, []);
  return visible;
}
