// @ts-check
// What helps, and what else is in the way, as the service explains it.

import { Copy } from "../basics.js";
import { html } from "../html.js";

/** @typedef {import("./types.js").Explanation} Explanation */

/** How many further causes are shown. */
const most = 4;

/**
 * What is below the sentence of an explanation, whose first cause is in it.
 * @param {{explained: Explanation}} props
 */
export function Help({ explained }) {
  const others = (explained.causes ?? []).slice(1, 1 + most).filter((cause) => cause.sentence !== explained.sentence);
  if (!explained.help && others.length === 0) return null;
  return html`<div class="help">
    ${explained.help && html`<${Command} text=${explained.help} />`}
    ${others.length > 0 && html`<ul>${others.map((cause) => html`<li key=${cause.kind + cause.sentence}>${cause.sentence} ${cause.help && html`<${Command} text=${cause.help} />`}</li>`)}</ul>`}
  </div>`;
}

/** @param {{text: string}} props */
function Command({ text }) {
  return html`<${Copy} text=${text} label="Copy what helps" className="id"><code>${text}</code><//>`;
}
