// @ts-check
// The only module that calls the API.
import { ServerClock } from "./clock.js";
import { asProblem, Problem, problemOf, unreachable } from "./problem.js";
import { session, wire } from "./session.js";

export { asProblem, Problem, session };

const base = "/api";
/** How long an answer may take; the service answers within 6 seconds. */
const patience = 15000;

/**
 * @typedef {object} Options
 * @property {Record<string, any>} [query] undefined, null and "" are left out
 * @property {any} [body]
 * @property {string} [text] the body as JSON text, which is sent as it is
 * @property {string} [tenant] the tenant that the call is for: X-Tenant-ID
 * @property {string} [key] Idempotency-Key
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [quiet] 401 is a problem like others, and asks nobody to log in
 */

/** @typedef {{data: any, status: number, headers: Headers}} Answer */

export const api = {
  /** Any call, for those that the API itself names. */
  call: (/** @type {string} */ method, /** @type {string} */ path, /** @type {Options} */ o = {}) => call(method, path, o),
  get: (/** @type {string} */ path, /** @type {Options} */ o = {}) => call("GET", path, o),
  post: (/** @type {string} */ path, /** @type {any} */ body = undefined, /** @type {Options} */ o = {}) => call("POST", path, { ...o, body }),
  put: (/** @type {string} */ path, /** @type {any} */ body = undefined, /** @type {Options} */ o = {}) => call("PUT", path, { ...o, body }),
  patch: (/** @type {string} */ path, /** @type {any} */ body = undefined, /** @type {Options} */ o = {}) => call("PATCH", path, { ...o, body }),
  del: (/** @type {string} */ path, /** @type {Options} */ o = {}) => call("DELETE", path, o),
  /** Opens a stream of events; the answer's body is for the caller to read.
   * @type {(path: string, o?: Options) => Promise<Response>} */
  stream: (path, o = {}) => send("GET", path, { ...o, headers: { ...o.headers, Accept: "text/event-stream" } }, true),
};

/** Whether the service answers, and since when it does not; for the bar at the top. */
export const reach = {
  /** When it went away, in milliseconds; 0 while it answers. */
  awaySince: 0,
  /** When it answered last. */
  answeredAt: Date.now(),
  /** Its clock. */
  clock: new ServerClock(),
  /** @type {Set<() => void>} */
  listeners: new Set(),
  /** @param {(() => void)} fn */
  on(fn) {
    this.listeners.add(fn);
    return () => this.listeners.delete(fn);
  },
  /** @param {boolean} answers */
  note(answers) {
    if (answers) this.answeredAt = Date.now();
    if (answers === (this.awaySince === 0)) return;
    this.awaySince = answers ? 0 : Date.now();
    for (const fn of this.listeners) fn();
  },
  /** Asks whether it is back. */
  async ping() {
    try {
      this.note((await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(5000) })).ok);
    } catch {
      this.note(false);
    }
  },
};

/** The service's time in milliseconds. */
export function serverNow() {
  return reach.clock.now();
}

/** @returns {Promise<Answer>} */
async function call(method, path, /** @type {Options} */ o = {}) {
  const answer = await send(method, path, o, false);
  const data = await read(answer);
  return { data, status: answer.status, headers: answer.headers };
}
wire.call = call;

/** Sends a request until somebody is logged in, and returns an answer that is no problem.
 * @returns {Promise<Response>} */
async function send(method, path, /** @type {Options} */ o, streaming) {
  for (;;) {
    const token = session.token;
    const answer = await fetched(base + path + queryOf(o.query), request(method, o, token, streaming));
    if (answer.ok) return answer;
    if (answer.status !== 401 || o.quiet) throw problemOf(answer, await read(answer).catch(() => null));
    await orAborted(session.renewed(token), o.signal);
  }
}

function request(method, /** @type {Options} */ o, token, streaming) {
  const headers = new Headers(o.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (o.tenant) headers.set("X-Tenant-ID", o.tenant);
  if (o.key) headers.set("Idempotency-Key", o.key);
  const body = o.text ?? (o.body === undefined ? undefined : JSON.stringify(o.body));
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const signals = [];
  if (o.signal) signals.push(o.signal);
  if (!streaming) signals.push(AbortSignal.timeout(patience));
  return {
    method, headers, cache: /** @type {RequestCache} */ ("no-store"), credentials: /** @type {RequestCredentials} */ ("omit"),
    body,
    signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
  };
}

async function fetched(url, init) {
  const sent = Date.now();
  try {
    const answer = await fetch(url, init);
    reach.clock.observe(Date.parse(answer.headers.get("Date") || ""), sent, Date.now());
    reach.note(answer.status < 502 || (answer.headers.get("Content-Type") || "").includes("json"));
    return answer;
  } catch (error) {
    const name = /** @type {Error} */ (error).name;
    if (name === "AbortError") throw error;
    reach.note(false);
    throw unreachable(name === "TimeoutError" ? `Lanekeeper has not answered for ${patience / 1000} seconds.` : undefined);
  }
}

async function read(/** @type {Response} */ answer) {
  const type = answer.headers.get("Content-Type") || "";
  if (!type.includes("json") && !type.startsWith("text/csv")) return null;
  let text;
  try {
    text = await answer.text();
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw unreachable("The answer broke off.");
  }
  if (!type.includes("json")) return text;
  return text === "" ? null : parse(text);
}

/** JSON.parse that keeps numbers that JavaScript has no exact value for, as JSON.rawJSON. */
export function parse(text) {
  const raw = /** @type {any} */ (JSON).rawJSON;
  if (!raw || !/\d{16}|\d[eE][+-]?\d/.test(text)) return JSON.parse(text);
  return JSON.parse(text, /** @type {any} */ ((_key, value, context) =>
    typeof value === "number" && context && context.source !== String(value) && /\d{16}|[eE]/.test(context.source) ? raw(context.source) : value));
}

function queryOf(/** @type {Record<string, any> | undefined} */ query) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") parts.append(name, String(one));
    }
  }
  const text = parts.toString();
  return text ? `?${text}` : "";
}

/** Rejects with the reason of signal when it aborts first. */
function orAborted(promise, /** @type {AbortSignal | undefined} */ signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
