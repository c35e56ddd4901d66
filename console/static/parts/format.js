// @ts-check
// Numbers, times and texts as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** 1,240; a dash for what is not known. */
export function count(/** @type {number | null | undefined} */ n) {
  return n === null || n === undefined || Number.isNaN(n) ? "–" : whole.format(n);
}

/** A large number in few characters: 18.3M; below ten million it is whole. */
export function compact(/** @type {number | null | undefined} */ n) {
  return n === null || n === undefined || Math.abs(n) < 1e7 ? count(n) : short.format(n);
}

/** "1 tenant", "2 tenants". */
export function counted(/** @type {number} */ n, /** @type {string} */ one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A number a second, a share or the like: with one decimal below 10. */
export function rate(/** @type {number | null | undefined} */ n) {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  return Math.abs(n) < 10 ? tenth.format(n) : whole.format(n);
}

const spans = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** How long: "40 ms", "3 s", "12 min", "2 h 5 min". */
export function duration(/** @type {number | null | undefined} */ seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 1) return `${whole.format(seconds * 1000)} ms`;
  if (seconds < 10) return `${tenth.format(Math.floor(seconds * 10) / 10)} s`;
  for (let i = 0; i < spans.length; i++) {
    const [name, size] = /** @type {[string, number]} */ (spans[i]);
    if (seconds < size) continue;
    const n = Math.floor(seconds / size);
    const next = /** @type {[string, number] | undefined} */ (spans[i + 1]);
    const rest = next ? Math.floor((seconds - n * size) / next[1]) : 0;
    return `${whole.format(n)} ${name}` + (rest > 0 && n < 10 && next ? ` ${rest} ${next[0]}` : "");
  }
  return "0 s";
}

/** "312 B", "1.4 KiB". */
export function bytes(/** @type {number | null | undefined} */ n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i === 0 ? whole.format(n) : rate(n)} ${units[i]}`;
}

/** An instant in the viewer's zone, which it names: "2026-12-01 06:12:04.123 CET". */
export function exact(/** @type {string | number | Date} */ at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const two = (/** @type {number} */ n, width = 2) => String(n).padStart(width, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)} ${zone(date)}`;
}

/** The time of day in the viewer's zone: "06:12:04". */
export function clockTime(/** @type {string | number | Date} */ at) {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}

function zone(/** @type {Date} */ date) {
  const part = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(date).find((p) => p.type === "timeZoneName");
  return part ? part.value : "";
}

/** Characters that nobody sees, or that turn the order of others around, as escapes. */
export function visible(/** @type {string} */ text) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The beginning and the end of an id. */
export function shortId(/** @type {string} */ id) {
  return id.length <= 13 ? id : `${id.slice(0, 4)}…${id.slice(-6)}`;
}
