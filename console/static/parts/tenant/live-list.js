// @ts-check
// The newest messages of a stream. It has a bound, and stands still while it is read.

import { preview } from "./preview.js";

/**
 * @typedef {object} Row what is kept of a message
 * @property {string} id
 * @property {number} seq
 * @property {string} type
 * @property {string} key the ordering key
 * @property {string} at
 * @property {string} text the beginning of its payload
 * @property {boolean} [fresh] whether it came while somebody watched
 */

/** @param {import("./types.js").Message} m @param {boolean} [fresh] @returns {Row} */
export function rowOf(m, fresh = false) {
  return { id: m.id, seq: m.seq, type: m.type ?? "", key: m.ordering_key ?? "", at: m.created_at, text: preview(m.payload), fresh };
}

/** How often the list is drawn again at most, in ms, and when more comes than one can read. */
const drawEvery = 200;
const drawBusy = 500;
const busyFrom = 50;
/** Up to how many rows at a time one sees come. */
const fewEnough = 3;
/** Over how many ms the rate is counted. */
const rateOver = 4_000;

export class LiveList {
  /** Newest first. @type {Row[]} */
  rows = [];
  /** How many came while it was held. */
  waiting = 0;
  #limit;
  #changed;
  /** What came and is not shown yet, oldest first. @type {Row[]} */
  #come = [];
  #held = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** How many came in each second. @type {Map<number, number>} */
  #seconds = new Map();

  /**
   * @param {number} limit how many rows it has at most
   * @param {() => void} changed called when it is to be drawn again
   */
  constructor(limit, changed) {
    this.#limit = limit;
    this.#changed = changed;
  }

  /** Begins with a page of the history, newest first. @param {import("./types.js").Message[]} messages */
  begin(messages) {
    this.#come = [];
    this.waiting = 0;
    this.rows = messages.slice(0, this.#limit).map((m) => rowOf(m));
    this.#changed();
  }

  /** @param {import("./types.js").Message} message */
  add(message) {
    this.#come.push(rowOf(message, true));
    if (this.#come.length >= 2 * this.#limit) this.#come.splice(0, this.#limit);
    if (this.#held) this.waiting++;
    const second = Math.floor(Date.now() / 1000);
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + 1);
    if (this.#seconds.size > rateOver / 1000 + 2) this.#seconds.delete(/** @type {number} */ (this.#seconds.keys().next().value));
    this.#timer ??= setTimeout(() => this.#draw(), this.rate < busyFrom ? drawEvery : drawBusy);
  }

  #draw() {
    this.#timer = undefined;
    if (!this.#held) this.#take();
    this.#changed();
  }

  #take() {
    this.waiting = 0;
    if (this.#come.length === 0) return;
    const come = this.#come.reverse();
    if (come.length > fewEnough) for (const row of come) row.fresh = false;
    this.#come = [];
    this.rows = [...come, ...this.rows].slice(0, this.#limit);
  }

  /** Holds the rows where they are, or lets them move again. @param {boolean} on */
  hold(on) {
    if (on === this.#held) return;
    this.#held = on;
    if (!on) this.show();
  }

  /** Shows what waits. */
  show() {
    this.#take();
    this.#changed();
  }

  /** How many came a second, lately. */
  get rate() {
    const now = Math.floor(Date.now() / 1000);
    let sum = 0;
    for (const [second, n] of this.#seconds) if (second < now && second >= now - rateOver / 1000) sum += n;
    return sum / (rateOver / 1000);
  }

  /** Ends what is still planned. */
  end() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
