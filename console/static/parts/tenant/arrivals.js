// @ts-check
// Finds out when a message that was published here is stored: the stream says so, mostly
// before the answer to the call is there, and where there is no stream the message is asked
// for.

import { api } from "../../api.js";

/**
 * @typedef {object} Arrival how a published message came to be stored
 * @property {number} seq
 * @property {number} at when it was seen, by performance.now()
 */

/** When a message that the stream does not bring is asked for, and how often, in ms. */
const askAfter = [1_000, 1_000, 2_000, 4_000, 8_000, 14_000];
/** For how many messages of the stream one remembers that they came. */
const remembered = 1_000;

export class Arrivals {
  #tenantId;
  /** How many calls are under way, during which what comes is remembered. */
  #expecting = 0;
  /** @type {Map<string, Arrival>} */
  #seen = new Map();
  /** @type {Map<string, (arrival: Arrival) => void>} */
  #waiting = new Map();
  #end = new AbortController();

  /** @param {string} tenantId */
  constructor(tenantId) {
    this.#tenantId = tenantId;
  }

  /** Takes note of a message of the stream. @param {{id: string, seq: number}} message */
  note({ id, seq }) {
    const waiting = this.#waiting.get(id);
    const arrival = { seq, at: performance.now() };
    if (waiting) {
      this.#waiting.delete(id);
      waiting(arrival);
    } else if (this.#expecting > 0) {
      this.#seen.set(id, arrival);
      if (this.#seen.size > remembered) this.#seen.delete(/** @type {string} */ (this.#seen.keys().next().value));
    }
  }

  /** Begins before the message is published. */
  expect() {
    this.#expecting++;
    const over = () => {
      this.#expecting--;
      if (this.#expecting === 0) this.#seen.clear();
    };
    return {
      /** Resolves when it is stored; to null when it was not seen for half a minute. @param {string} id @returns {Promise<Arrival | null>} */
      of: (id) => {
        const seen = this.#seen.get(id);
        over();
        if (seen) return Promise.resolve(seen);
        const streamed = new Promise((/** @type {(arrival: Arrival) => void} */ found) => this.#waiting.set(id, found));
        return Promise.race([streamed, this.#ask(id)]).finally(() => this.#waiting.delete(id));
      },
      cancel: over,
    };
  }

  /** @param {string} id @returns {Promise<Arrival | null>} */
  async #ask(id) {
    for (const pause of askAfter) {
      await new Promise((done) => setTimeout(done, pause));
      if (this.#end.signal.aborted || !this.#waiting.has(id)) return null;
      try {
        const { data } = await api.get(`/messages/${encodeURIComponent(id)}`, { tenant: this.#tenantId, signal: this.#end.signal });
        return { seq: data.seq, at: performance.now() };
      } catch {
        // Not there yet, or not to be had: asked for again.
      }
    }
    return null;
  }

  /** Ends what is under way. */
  end() {
    this.#end.abort();
    this.#waiting.clear();
  }
}
