// @ts-check
// What is looked at stays current: polling while the page is visible, and streams.
import { api, asProblem, parse, reach } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./parts/html.js";

/** @typedef {"loading" | "live" | "late" | "lost"} LiveState */
/**
 * @template T
 * @typedef {{data: T | null, problem: import("./problem.js").Problem | null, at: number, state: LiveState, busy: boolean, refresh: () => Promise<void>}} Polled
 */

/** Pauses after failures, in multiples of how often is asked. */
const backoff = [1, 2, 4, 8];
/** After how long without an answer what is shown is called lost. */
const lostAfter = 10000;

/** What the pages ask for now, for the dot that says how current it is.
 * @type {Map<object, {state: LiveState, at: number}>} */
const watched = new Map();
/** @type {Set<() => void>} */
const watchers = new Set();

function report(who, what) {
  if (what) watched.set(who, what);
  else watched.delete(who);
  for (const fn of [...watchers]) fn();
}

/** The worst state of all that the page shows, and since when.
 * @returns {{state: LiveState | "", at: number}} */
export function useHealth() {
  const [health, setHealth] = useState(worst);
  useEffect(() => {
    const update = () => setHealth((before) => {
      const now = worst();
      return now.state === before.state && (now.state === "live" || now.at === before.at) ? before : now;
    });
    watchers.add(update);
    update();
    return () => { watchers.delete(update); };
  }, []);
  return health;
}

function worst() {
  /** @type {{state: LiveState | "", at: number}} */
  let found = { state: "", at: 0 };
  const order = ["", "live", "loading", "late", "lost"];
  for (const one of watched.values()) {
    if (order.indexOf(one.state) > order.indexOf(found.state)) found = one;
  }
  return found;
}

/**
 * Calls fn again and again while the page is visible, and keeps what it returned last.
 * Failures that may pass are tried again after growing pauses, and at once when the service
 * is back. What depends on something else, deps, is asked for again when that changes; until
 * the answer comes the one before is kept, and busy is true.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} fn
 * @param {any[]} deps
 * @param {{every?: number, enabled?: boolean}} [options] every is in milliseconds
 * @returns {Polled<T>}
 */
export function usePolled(fn, deps, { every = 2000, enabled = true } = {}) {
  const [shown, show] = useState({ data: /** @type {T | null} */ (null), problem: null, at: 0, state: /** @type {LiveState} */ ("loading"), busy: true });
  const latest = useRef(fn);
  latest.current = fn;
  const poll = useRef(/** @type {Poll | null} */ (null));
  useEffect(() => {
    if (!enabled) return undefined;
    show((before) => ({ ...before, busy: true }));
    const one = new Poll((signal) => latest.current(signal), every, show);
    poll.current = one;
    return () => one.stop();
  }, [...deps, every, enabled]);
  const refresh = useCallback(() => (poll.current ? poll.current.refresh() : Promise.resolve()), []);
  return /** @type {any} */ ({ ...shown, refresh });
}

class Poll {
  #fn;
  #every;
  #show;
  #failures = 0;
  #retryAfter = 0;
  #at = 0;
  #timer = 0;
  #lateTimer = 0;
  /** @type {AbortController | null} */
  #running = null;
  #stopped = false;
  #off;

  constructor(fn, every, show) {
    this.#fn = fn;
    this.#every = every;
    this.#show = show;
    report(this, { state: "loading", at: 0 });
    document.addEventListener("visibilitychange", this.#look);
    this.#off = reach.on(() => { if (!reach.awaySince && this.#failures > 0) void this.refresh(); });
    this.#look();
  }

  stop() {
    this.#stopped = true;
    this.#off();
    document.removeEventListener("visibilitychange", this.#look);
    clearTimeout(this.#timer);
    clearTimeout(this.#lateTimer);
    if (this.#running) this.#running.abort();
    report(this, null);
  }

  #look = () => {
    clearTimeout(this.#timer);
    if (!document.hidden) void this.refresh();
  };

  /** Asks now. What was under way is given up. */
  async refresh() {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    if (this.#running) this.#running.abort();
    const running = new AbortController();
    this.#running = running;
    clearTimeout(this.#lateTimer);
    this.#lateTimer = setTimeout(() => this.#mark(), 2 * this.#every + 1000);
    try {
      const data = await this.#fn(running.signal);
      if (running !== this.#running || this.#stopped) return;
      this.#failures = 0;
      this.#at = Date.now();
      this.#say({ data, problem: null, at: this.#at, state: "live", busy: false });
    } catch (error) {
      if (running !== this.#running || this.#stopped) return;
      this.#failures++;
      const problem = asProblem(error);
      this.#retryAfter = problem.retryAfter;
      this.#say({ problem, busy: false, state: problem.passing ? this.#age() : "live" });
    } finally {
      if (running === this.#running && !this.#stopped) {
        this.#running = null;
        clearTimeout(this.#lateTimer);
        if (!document.hidden) this.#timer = setTimeout(() => void this.refresh(), this.#pause());
      }
    }
  }

  #pause() {
    if (this.#failures === 0) return this.#every;
    const pause = this.#every * backoff[Math.min(this.#failures, backoff.length) - 1];
    return Math.max(2000, 1000 * this.#retryAfter, pause * (0.75 + Math.random() / 2));
  }

  #age() {
    return this.#at === 0 || Date.now() - this.#at > lostAfter ? "lost" : "late";
  }

  #mark() {
    if (!this.#stopped && this.#at !== 0) this.#say({ state: this.#age() });
    if (!this.#stopped) this.#lateTimer = setTimeout(() => this.#mark(), lostAfter);
  }

  #say(change) {
    this.#show((before) => ({ ...before, ...change }));
    report(this, { state: change.state, at: this.#at });
  }
}

/** The time, again every second while the page is visible.
 * @returns {number} milliseconds */
export function useNow() {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    clock.add(setNow);
    if (clock.size === 1) clockTimer = setInterval(tick, 1000);
    return () => {
      clock.delete(setNow);
      if (clock.size === 0) clearInterval(clockTimer);
    };
  }, []);
  return now;
}
/** @type {Set<(now: number) => void>} */
const clock = new Set();
let clockTimer = 0;
function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const set of [...clock]) set(now);
}

/** A stream has a comment every 15 seconds: one that is silent for longer is none. */
const silence = 40000;

/**
 * Follows a tenant's history as it grows, and goes on where it was when the stream breaks:
 * nothing is missed and nothing comes twice. Returns when signal aborts, or with the Problem
 * that will not pass.
 *
 * @param {string} tenantId
 * @param {{after?: number | string, onMessage: (message: any, seq: number) => void,
 *   onState?: (state: LiveState) => void, signal: AbortSignal}} options without after it begins with what is stored from now on
 */
export async function followStream(tenantId, { after, onMessage, onState = () => {}, signal }) {
  let last = after === undefined ? "" : String(after);
  for (let failures = 0; !signal.aborted;) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    signal.addEventListener("abort", abort, { once: true });
    try {
      const answer = await api.stream("/messages/stream", {
        tenant: tenantId, signal: attempt.signal, headers: last === "" ? {} : { "Last-Event-ID": last },
      });
      failures = 0;
      onState("live");
      await readEvents(answer, abort, (event) => {
        if (event.id !== "") last = event.id;
        if (event.data !== "") onMessage(parse(event.data), Number(event.id));
      });
      onState("late"); // it ended, as each does at some time
    } catch (error) {
      if (signal.aborted) return;
      const problem = asProblem(error);
      if (problem.code !== "console_error" && !problem.passing) throw problem;
      failures++;
      onState(failures > 2 ? "lost" : "late");
    } finally {
      signal.removeEventListener("abort", abort);
      attempt.abort();
    }
    await pause(failures === 0 ? 250 : Math.min(15000, 1000 * 2 ** failures) * (0.75 + Math.random() / 2), signal);
  }
}

/** Calls take for each event of a stream, until it ends. */
async function readEvents(/** @type {Response} */ answer, abort, take) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = { id: "", data: "" };
  for (;;) {
    const watchdog = setTimeout(abort, silence);
    const { done, value } = await reader.read().finally(() => clearTimeout(watchdog));
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() || "";
    for (const line of lines) {
      if (line === "") {
        take(event);
        event = { id: "", data: "" };
      } else if (line.startsWith("id:")) event.id = line.slice(3).trim();
      else if (line.startsWith("data:")) event.data += (event.data === "" ? "" : "\n") + line.slice(5).replace(/^ /, "");
    }
  }
}

function pause(milliseconds, /** @type {AbortSignal} */ signal) {
  return new Promise((/** @type {(value?: any) => void} */ resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
