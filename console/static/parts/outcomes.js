// @ts-check
// What became of actions: lines that stay until they are put away.
import { asProblem } from "../problem.js";
import { Button, ShortId } from "./basics.js";
import { html, useEffect, useState } from "./html.js";
import { Icon } from "./icons.js";

/** @typedef {{id: number, at: number, text: any, tone: "done" | "fails" | "waits", requestId: string, code: string,
 *   undo: {label: string, run: () => any} | null, busy: boolean}} Line */

/** @type {Line[]} */
let lines = [];
let last = 0;
/** @type {Set<() => void>} */
const listeners = new Set();

function change(/** @type {Line[]} */ next) {
  lines = next;
  for (const fn of [...listeners]) fn();
}

/**
 * Says what became of an action. Returns what takes the line away.
 * @param {{text: any, tone?: "done" | "fails" | "waits", requestId?: string, code?: string,
 *   undo?: (() => any) | {label: string, run: () => any}}} line undo puts it right again
 */
export function say({ text, tone = "done", requestId = "", code = "", undo = undefined }) {
  const id = ++last;
  const taken = typeof undo === "function" ? { label: "Undo", run: undo } : undo || null;
  change([...lines, { id, at: Date.now(), text, tone, requestId, code, undo: taken, busy: false }].slice(-4));
  return () => dismiss(id);
}

/** Says what a failed action's error is. */
export function sayProblem(error, /** @type {string} */ what = "") {
  const problem = asProblem(error);
  return say({ text: what ? `${what}: ${problem.detail}` : problem.detail, tone: "fails", requestId: problem.requestId, code: problem.code });
}

function dismiss(/** @type {number} */ id) {
  change(lines.filter((line) => line.id !== id));
}

/** Takes away what was said before somebody went to another page, but for the newest. */
export function forgetOutcomes() {
  const now = Date.now();
  if (lines.some((line) => now - line.at > 5000)) change(lines.filter((line) => now - line.at <= 5000));
}

/** say, for pages. */
export function useOutcomes() {
  return say;
}

/** The lines; once, in the frame. */
export function Outcomes() {
  const [shown, setShown] = useState(lines);
  useEffect(() => {
    const update = () => setShown(lines);
    listeners.add(update);
    return () => { listeners.delete(update); };
  }, []);
  const run = async (/** @type {Line} */ line) => {
    change(lines.map((one) => (one.id === line.id ? { ...one, busy: true } : one)));
    try {
      await /** @type {any} */ (line.undo).run();
      dismiss(line.id);
    } catch (error) {
      dismiss(line.id);
      sayProblem(error);
    }
  };
  return html`<section class="outcomes" aria-label="What was done" aria-live="polite">${shown.map((line) => html`
    <div key=${line.id} class="outcome" data-tone=${line.tone}><span class="dot"></span>
      <p>${line.text}${line.code && html` <code>${line.code}</code>`}
        ${line.requestId && html`<span class="outcome-request"> request <${ShortId} id=${line.requestId} /></span>`}</p>
      ${line.undo && html`<${Button} kind="quiet" busy=${line.busy} onClick=${() => run(line)}>${line.undo.label}<//>`}
      <button type="button" class="icon-button" aria-label="Put away" onClick=${() => dismiss(line.id)}><${Icon} name="close" /></button>
    </div>`)}</section>`;
}
