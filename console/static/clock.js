// @ts-check
// The service's clock, as a browser with another one sees it.

/**
 * Learns how far the service's clock is ahead of this one. Each answer says the second in
 * which it was sent (the header Date), so that second is not before the request and not
 * after its answer; what all answers together leave possible gets narrow soon.
 */
export class ServerClock {
  #least = -Infinity;
  #most = Infinity;

  /**
   * Takes note of an answer. Times are in ms by the clock of this machine.
   * @param {number} second what the answer says, in ms
   * @param {number} sent when the request was sent
   * @param {number} received when the answer was there
   */
  observe(second, sent, received) {
    if (!Number.isFinite(second) || received < sent) return;
    const least = second - received;
    const most = second + 1_000 - sent;
    if (least > this.#most || most < this.#least) {
      this.#least = least; // one of the clocks was set
      this.#most = most;
      return;
    }
    this.#least = Math.max(this.#least, least);
    this.#most = Math.min(this.#most, most);
  }

  /** By how many ms the service is ahead; 0 while nothing speaks against it. */
  get offset() {
    if (this.#least <= 0 && this.#most >= 0) return 0;
    return Math.round((this.#least + this.#most) / 2);
  }

  /** What time it is for the service, in ms. */
  now() {
    return Date.now() + this.offset;
  }
}
