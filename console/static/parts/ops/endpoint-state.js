// @ts-check
// How an endpoint does, in a word and in sentences.

import { count, counted, duration } from "../format.js";
import { clock, percent } from "./words.js";

/** @typedef {import("../../types/api").Endpoint} Endpoint */
/** @typedef {import("../../types/api").AttemptSummary} AttemptSummary */

/**
 * The state of a chip, and its word.
 * @param {Endpoint} e
 * @returns {{state: "flows" | "waits" | "fails" | "stopped", word: string}}
 */
export function stateOf(e) {
  if (e.status === "disabled") return { state: "fails", word: "disabled" };
  if (e.status === "held") return { state: "stopped", word: "held" };
  if (e.breaker.open) return { state: "fails", word: "breaker open" };
  if (e.failing_since) return { state: "fails", word: "fails" };
  if (e.open > 0) return { state: "waits", word: "retries" };
  if (e.lag > 0) return { state: "waits", word: "behind" };
  return { state: "flows", word: "delivers" };
}

/**
 * The sentence of an endpoint's page.
 * @param {Endpoint} e
 * @param {AttemptSummary | undefined} summary
 */
export function sentenceOf(e, summary) {
  const behind = e.lag === 0 ? "nothing behind" : `${count(e.lag)} behind`;
  const breaker = e.breaker.open ? "breaker open" : "breaker closed";
  const start = { active: e.breaker.open || e.failing_since ? "Fails" : "Delivers", held: "Held", disabled: "Disabled" }[e.status];
  if (!summary) return `${start}: ${behind}, ${breaker}.`;
  if (summary.first === 0) return `${start}: no attempts in the last hour, ${behind}, ${breaker}.`;
  const when = summary.truncated ? `since ${clock(summary.since)}` : "in the last hour";
  return `${start}: ${percent(summary.first_succeeded, summary.first)} at the first attempt ${when}, ${behind}, ${breaker}.`;
}

/**
 * What an endpoint waits for, the most important first; none when it waits for nothing.
 * @param {Endpoint} e
 * @param {import("../../types/api").Attempt[]} attempts the newest
 * @param {number} now
 * @returns {string[]}
 */
export function waitsFor(e, attempts, now) {
  const lines = [];
  if (e.status === "disabled") {
    lines.push(`It is disabled. ${e.status_reason} Its place and what is open are kept.`.replace("  ", " "));
  }
  if (e.status === "held") {
    lines.push(`It is held until somebody resumes it. Nothing is lost: ${counted(e.lag, "message waits", "messages wait")}.`);
  }
  if (e.status === "active" && e.breaker.open) {
    const since = e.breaker.since ? ` since ${clock(e.breaker.since)}` : "";
    lines.push(`The breaker is open${since}: 10 different messages failed in a row, so one is tried now and then until it answers 2xx. No attempt is used up meanwhile.`);
  }
  if (e.reading_stopped) lines.push("Very many deliveries wait behind others of their ordering key, so no more messages are read for now.");
  const next = attempts.find((a) => a.next_at && Date.parse(a.next_at) > now);
  if (e.status === "active" && e.open > 0) {
    const due = next ? ` The next known attempt is due in ${duration(Math.ceil((Date.parse(/** @type {string} */ (next.next_at)) - now) / 1000))}, for message ${count(next.seq)}.` : "";
    const order = e.ordering === "fifo" ? "Order is fifo: what is behind waits for it." : "";
    lines.push(`${counted(e.open, "delivery", "deliveries")} failed and ${e.open === 1 ? "is" : "are"} tried again.${due} ${order}`.trim());
  }
  const unread = e.last_seq - e.settled_seq;
  if (e.status === "active" && unread > 0 && !e.breaker.open) lines.push(`${counted(unread, "message")} ${unread === 1 ? "is" : "are"} on ${unread === 1 ? "its" : "their"} first way there.`);
  return lines;
}
