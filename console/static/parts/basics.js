// @ts-check
// The small parts: chips, buttons, times, ids, what is copied, empty states, problems.
import { serverNow } from "../api.js";
import { useNow } from "../live.js";
import { Link } from "../router.js";
import { clockTime, duration, exact, shortId } from "./format.js";
import { cloneElement, html, useEffect, useId, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";

/** A state in a dot and a word: flows, waits, fails, stopped or inactive. */
export function Chip({ state, children = undefined, title = undefined }) {
  return html`<span class="chip" data-state=${state} title=${title}><span class="dot"></span>${children ?? state}</span>`;
}

/** A button; kind is "primary", "danger", "quiet" or "" for an ordinary one. */
export function Button({ kind = "", busy = false, disabled = false, type = "button", onClick = undefined, children, ...rest }) {
  return html`<button type=${type} class=${`button ${kind}`} disabled=${disabled} aria-busy=${busy ? "true" : undefined}
    onClick=${busy ? (/** @type {Event} */ e) => e.preventDefault() : onClick} ...${rest}>
    ${busy && html`<span class="spinner" aria-hidden="true"></span>`}<span>${children}</span></button>`;
}

/** A link that looks like a button. */
export function ButtonLink({ kind = "", href, children, ...rest }) {
  return html`<${Link} href=${href} class=${`button ${kind}`} ...${rest}><span>${children}</span><//>`;
}

/** An instant, relative to now; the exact one on hover, with its zone. */
export function Time({ at, plain = false }) {
  useNow();
  if (!at) return html`<span class="muted">never</span>`;
  const date = new Date(at);
  const seconds = (serverNow() - date.getTime()) / 1000;
  let text = "now";
  if (seconds >= 86400 * 30) text = exact(date).slice(0, 10);
  else if (seconds >= 1) text = `${duration(Math.floor(seconds)).replace(/^(\d+ (?:d|h|min)) .*/, "$1")} ago`;
  else if (seconds <= -1) text = `in ${duration(Math.ceil(-seconds))}`;
  return html`<time datetime=${date.toISOString()} title=${exact(date)} class=${plain ? "" : "time"}>${text}</time>`;
}

/** Puts text into the clipboard; returns whether that was allowed. */
export async function copyText(/** @type {string} */ text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea"); // pages that were not loaded over TLS
    area.value = text;
    area.className = "offscreen";
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Copies a text. */
export function Copy({ text, label = "Copy", children = undefined, className = "" }) {
  const [said, say] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => say(""), 1600);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async (/** @type {Event} */ event) => {
    event.stopPropagation();
    event.preventDefault();
    say((await copyText(String(text))) ? "Copied" : "Not allowed to copy");
  };
  return html`<button type="button" class=${`copy ${className}`} onClick=${copy} title=${said || label} aria-label=${children ? undefined : label}>
    ${children}<${Icon} name=${said === "Copied" ? "check" : "copy"} /><span class="offscreen" role="status">${said}</span></button>`;
}

/** An id, shortened in the middle; a click copies it whole. */
export function ShortId({ id }) {
  if (!id) return html`<span class="muted">–</span>`;
  return html`<${Copy} text=${id} label=${`Copy ${id}`} className="id"><code aria-label=${id}>${shortId(id)}</code><//>`;
}

/** Source or commands, copied whole with one click. */
export function CodeBlock({ text, language = "" }) {
  return html`<figure class="code" data-language=${language}>
    <pre tabindex="0"><code>${text}</code></pre><${Copy} text=${text} /></figure>`;
}

/** What is said where there is nothing yet: what it is for, and what to do. */
export function Empty({ title, children = undefined }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/**
 * What went wrong, with what to report.
 * @param {{problem: import("../problem.js").Problem | null, action?: any, besides?: string[]}} props besides are the
 *   pointers of which fields say themselves what is wrong
 */
export function ProblemView({ problem, action = undefined, besides = [] }) {
  if (!problem) return null;
  const fields = problem.errors.filter((e) => e.message && !besides.includes(e.pointer));
  return html`<div class="problem" role="alert">
    <p>${problem.detail}</p>
    ${fields.length > 0 && html`<ul>${fields.map((e) => html`<li key=${e.pointer}><code>${e.pointer}</code> ${e.message}</li>`)}</ul>`}
    <p class="problem-facts"><code>${problem.code}</code>
      ${problem.requestId && html`<span>request <${ShortId} id=${problem.requestId} /></span>`}
      ${action}</p></div>`;
}

/**
 * A field of a form. What is wrong with it is said below it: text, or the Problem of the
 * call, of which the errors with this pointer count.
 * @param {{label: any, hint?: any, problem?: string | import("../problem.js").Problem | null, pointer?: string, children?: any}} props
 */
export function Field({ label, hint = undefined, problem = undefined, pointer = "", children }) {
  const id = useId();
  const wrong = problem && typeof problem === "object" ? problem.at(pointer) : problem || "";
  const said = `${id}-said`;
  const child = Array.isArray(children) ? children[0] : children;
  const input = cloneElement(child, { id, "aria-invalid": wrong ? "true" : undefined, "aria-describedby": wrong || hint ? said : undefined });
  return html`<div class="field"><label for=${id}>${label}</label>${input}${Array.isArray(children) ? children.slice(1) : null}
    ${(wrong || hint) && html`<p id=${said} class=${wrong ? "wrong" : "hint"}>${wrong || hint}</p>`}</div>`;
}

/** Sections of a page, each at an address: [{href, label, count?}]. */
export function Tabs({ tabs, current, label = "Sections" }) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map((/** @type {any} */ tab) => html`
    <${Link} key=${tab.href} href=${tab.href} aria-current=${tab.href === current ? "page" : undefined}>${tab.label}
      ${tab.count !== undefined && tab.count !== null && html`<span class="tab-count">${tab.count}</span>`}<//>`)}</nav>`;
}

/** Rows that came while somebody was reading. */
export function NewRows({ count: n, onShow, label = undefined }) {
  if (!n) return null;
  return html`<button type="button" class="new-rows" onClick=${onShow}>${label || `${n} new`}</button>`;
}

/** The age of what is shown, once it is old. */
export function Age({ at }) {
  useNow();
  return html`<span>as of ${clockTime(at)}, ${duration(Math.max(0, Math.floor((Date.now() - at) / 1000)))} ago</span>`;
}

/** Focuses an element when it appears. */
export function useAutofocus() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => { if (ref.current) ref.current.focus(); }, []);
  return ref;
}
