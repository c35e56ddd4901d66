// @ts-check
// A row of a table, and the same in a list of two lines.
import { Link } from "../router.js";
import { html } from "./html.js";

/** @typedef {import("./table.js").Column} Column */

function value(/** @type {Column} */ column, row) {
  return column.cell ? column.cell(row) : row[column.key];
}

/** A row. The first cell links to where the row leads; the whole row does for the mouse. */
export function Cells({ row, index, columns, href, gone, focusable, onFocus, actions, lead }) {
  const open = (/** @type {MouseEvent} */ event) => {
    const target = /** @type {Element} */ (event.target);
    if (!href || target.closest("a, button, input, select, label") || String(getSelection())) return;
    const link = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.currentTarget).querySelector("a.row-link"));
    if (link) link.click();
  };
  return html`<tr data-row=${index} aria-rowindex=${index + 2} tabindex=${focusable ? 0 : -1} class=${`${href ? "opens" : ""} ${gone ? "gone" : ""}`}
    onClick=${open} onFocus=${onFocus}>
    ${lead !== undefined && html`<td class="lead">${lead}</td>`}
    ${columns.map((/** @type {Column} */ column, /** @type {number} */ i) => html`<td key=${column.key}
      class=${`${column.align === "right" ? "right" : ""} ${i === 0 ? "first" : ""}`}>
      ${i === 0 && href ? html`<${Link} href=${href} class="row-link" tabindex=${-1}>${value(column, row)}<//>` : value(column, row)}</td>`)}
    ${actions !== undefined && html`<td class="actions">${actions}</td>`}</tr>`;
}

/** The same in two lines: the title and the state, and the rest below. */
export function ListItem({ row, index, columns, href, gone, focusable, onFocus, actions, lead }) {
  const place = (/** @type {Column} */ c, /** @type {number} */ i) => c.narrow || (i === 0 ? "title" : c.key === "state" || c.key === "status" ? "side" : "line");
  const at = (/** @type {string} */ wanted) => columns.filter((/** @type {Column} */ c, /** @type {number} */ i) => place(c, i) === wanted);
  const title = at("title").map((/** @type {Column} */ c) => value(c, row));
  const side = at("side").map((/** @type {Column} */ c) => html`<span key=${c.key}>${value(c, row)}</span>`);
  const facts = at("line").map((/** @type {Column} */ c) => html`<span key=${c.key} class="fact"><span class="fact-head">${c.head}</span> ${value(c, row)}${c.unit && html` <span class="unit">${c.unit}</span>`}</span>`);
  return html`<li class=${gone ? "gone" : ""}>
    <div class="list-row">${lead}${href
      ? html`<${Link} href=${href} class="list-title" data-row=${index} tabindex=${focusable ? 0 : -1} onFocus=${onFocus}>${title}<//>`
      : html`<span class="list-title" data-row=${index} tabindex=${focusable ? 0 : -1} onFocus=${onFocus}>${title}</span>`}
      <span class="list-side">${side}${actions}</span></div>
    <div class="list-facts">${facts}</div></li>`;
}
