// @ts-check
// The slider of workers: what is asked for and what runs, while it is moved.

import { api, asProblem } from "../../api.js";
import { ProblemView } from "../basics.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { say } from "../outcomes.js";

/** For how long the slider has to rest before its value is asked for, in ms. */
const rest = 100;
/** How often one looks whether the workers are there, in ms, and how often at most. */
const look = 150;
const looks = 40;
/** Changes that follow each other within so many ms are one, with one way back. */
const together = 5_000;

/**
 * @typedef {object} Change what is under way, which no drawing depends on
 * @property {number | null} wanted what is to be asked for next
 * @property {boolean} busy whether a call is under way: there is one at a time, so that the last wins
 * @property {boolean} gone
 * @property {number} from how many there were before
 * @property {number} at when it was changed last
 * @property {() => void} unsay takes back what was said of it
 */

/**
 * @param {import("./types.js").Tenant} tenant
 * @param {() => Promise<void>} refresh
 */
function useWorkers(tenant, refresh) {
  /** What was asked for here and may not have been read back yet. */
  const [asked, setAsked] = useState(/** @type {number | null} */ (null));
  const [reached, setReached] = useState(/** @type {number | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const change = useRef(/** @type {Change} */ ({ wanted: null, busy: false, gone: false, from: 0, at: 0, unsay: () => {} }));
  const timer = useRef(/** @type {any} */ (0));
  useEffect(() => {
    const c = change.current;
    c.gone = false;
    return () => {
      c.gone = true;
      clearTimeout(timer.current);
    };
  }, []);

  const path = encodeURIComponent(tenant.id);
  /** Asks for what is wanted, until nothing else is. */
  const settle = async () => {
    const c = change.current;
    if (c.busy) return;
    c.busy = true;
    try {
      while (c.wanted !== null && !c.gone) {
        const workers = c.wanted;
        c.wanted = null;
        const answer = await api.put(`/tenants/${path}/config/concurrency`, { workers });
        setProblem(null);
        if (c.wanted !== null || c.gone) continue;
        c.unsay();
        const { from } = c;
        c.unsay = from === workers ? () => {} : say({
          text: html`<span class="name">${tenant.name}</span> has ${workers} ${workers === 1 ? "worker" : "workers"}, and had ${from}.`, requestId: answer.headers.get("X-Request-ID") ?? "", undo: () => want(from, 0),
        });
        await reach(workers);
      }
      await refresh();
    } catch (error) {
      c.wanted = null;
      if (!c.gone) setProblem(asProblem(error));
    } finally {
      c.busy = false;
      if (!c.gone && c.wanted === null) {
        setAsked(null);
        setReached(null);
      }
    }
  };
  /** Looks how many there are, until there are so many. @param {number} workers */
  const reach = async (workers) => {
    const c = change.current;
    for (let n = 0; n < looks && c.wanted === null && !c.gone; n++) {
      const { data } = await api.get(`/consumers/${path}`);
      const running = data.state === "running" ? data.workers : 0;
      setReached(running);
      if (running === workers || data.state !== "running") return;
      await new Promise((done) => setTimeout(done, look));
    }
  };
  /** @param {number} workers @param {number} after in ms */
  const want = (workers, after) => {
    const c = change.current;
    if (Date.now() - c.at > together) {
      c.from = tenant.workers;
      c.unsay = () => {};
    }
    c.at = Date.now();
    c.wanted = workers;
    setAsked(workers);
    clearTimeout(timer.current);
    if (after === 0) return settle();
    timer.current = setTimeout(settle, after);
    return undefined;
  };
  return { asked, reached, problem, want };
}

/**
 * @param {object} props
 * @param {import("./types.js").Tenant} props.tenant
 * @param {import("./types.js").Consumer | null} props.consumer
 * @param {boolean} props.mayChange
 * @param {() => Promise<void>} props.refresh
 */
export function Workers({ tenant, consumer, mayChange, refresh }) {
  const { asked, reached, problem, want } = useWorkers(tenant, refresh);
  const shown = asked ?? tenant.workers;
  const working = reached ?? (consumer?.state === "running" ? consumer.workers : 0);
  return html`<div class="workers">
    <label for="workers">Workers</label>
    <input id="workers" type="range" min="1" max="100" value=${shown} disabled=${!mayChange} aria-valuetext=${`${shown} asked, ${working} working`}
      onInput=${(/** @type {any} */ e) => want(Number(e.currentTarget.value), rest)} />
    <output class="workers-text" for="workers"><b>${shown}</b> asked, <b data-differs=${working === shown ? undefined : ""}>${working}</b> working</output>
    ${problem && html`<${ProblemView} problem=${problem} />`}
  </div>`;
}
