// @ts-check
// How far a job is, with the word, the number and what can be done about it.

import { Button } from "../basics.js";
import { html } from "../html.js";
import { count } from "../format.js";

/**
 * @param {object} props
 * @param {string} props.label what is being done
 * @param {number} props.done
 * @param {number} props.total
 * @param {string} [props.note] why it does not get on, or how long it takes
 * @param {boolean} [props.canceling]
 * @param {() => void} [props.onCancel]
 */
export function Progress({ label, done, total, note = "", canceling = false, onCancel }) {
  return html`<div class="progress" role="status">
    <div class="progress-words">
      <span>${label}</span>
      <span class="num">${count(done)} of ${count(total)}</span>
    </div>
    <progress max=${Math.max(1, total)} value=${done} aria-label=${label}></progress>
    ${note && html`<p class="quiet">${note}</p>`}
    ${onCancel && html`<${Button} kind="quiet" busy=${canceling} onClick=${onCancel}>Cancel<//>`}
  </div>`;
}
