// @ts-check
// Words of the pages of endpoints, dead letters and what was done.
import { count, duration, visible } from "../format.js";

/** A share in percent: 100 only for all of them, and 0 only for none. */
export function percent(/** @type {number} */ part, /** @type {number} */ all) {
  if (all === 0) return "–";
  const exact = (100 * part) / all;
  const shown = exact > 99.9 && part < all ? 99.9 : exact < 0.1 && part > 0 ? 0.1 : exact;
  return `${Number(shown.toFixed(1))} %`;
}

/** How long something takes that is done at a rate: "about 1 s". */
export function about(/** @type {number} */ n, /** @type {number} */ perSecond) {
  return `about ${duration(Math.max(1, Math.ceil(n / perSecond)))}`;
}

/** How fast: "5,000/s". */
export function perSecond(/** @type {number} */ n) {
  return `${count(n)}/s`;
}

/** The time of day, with the date unless it is today's: "09:12", "30 Nov, 09:12". */
export function clock(/** @type {string | number} */ at, now = Date.now()) {
  const time = new Date(at);
  const today = new Date(now).toDateString() === time.toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const parts = { hour: "2-digit", minute: "2-digit", ...(today ? {} : { day: "numeric", month: "short" }) };
  return new Intl.DateTimeFormat("en-GB", parts).format(time);
}

/** What went wrong, to be a part of a sentence. */
export function phrase(/** @type {string} */ error) {
  return visible(error).replace(/\.(?= \(|$)/, "");
}

/** A URL without what makes it long: host and path. */
export function shortURL(/** @type {string} */ url) {
  return url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

/** What the reasons of dead letters mean, in a few words. */
const reasons = {
  delivery_failed: "Endpoint did not take it",
  invalid_payload: "Not JSON",
  invalid_headers: "Bad headers",
  id_conflict: "Id taken by another message",
  not_storable: "Cannot be stored",
  unknown: "Dead-lettered elsewhere",
  transmit_failed: "Endpoint did not take it (earlier version)",
  endpoint_paused: "Endpoint was paused (earlier version)",
};

/** The reasons by which letters can be filtered, in the order of a menu. */
export const reasonNames = Object.keys(reasons);

/** A reason in words. */
export function reasonWords(/** @type {string} */ reason) {
  return /** @type {Record<string, string>} */ (reasons)[reason] ?? reason;
}
