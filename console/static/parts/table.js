// @ts-check
// Tables that stay readable at thousands of rows, with keys, and lists where it is narrow.
import { navigate, setQuery, useRoute } from "../router.js";
import { NewRows } from "./basics.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Cells, ListItem } from "./rows.js";
import { useSteady } from "./steady.js";

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {string} head
 * @property {string} [unit] said in the head
 * @property {"left" | "right"} [align]
 * @property {boolean | ((a: any, b: any) => number)} [sort] true: by the value of key; the page sorts where it gives onSort
 * @property {"asc" | "desc"} [first] the order of the first click; desc for what is right-aligned
 * @property {boolean} [oneWay] it is sorted in its first order only, and the address has its key alone
 * @property {(row: any) => any} [cell]
 * @property {"title" | "side" | "line" | "hide"} [narrow] where it goes in a list; the first column is the title
 * @property {string} [width] "grow" for the column that takes what is left, which else the first does
 */

const rowHeight = 36;
const listHeight = 60;
/** From how many rows on only those are drawn that are seen. */
const virtualFrom = 200;
const spare = 12;

/**
 * Sort is kept in the address as sort=key or sort=-key.
 * @param {{columns: Column[], rows: any[], rowKey: (row: any) => string, href?: (row: any) => string, empty?: any, busy?: boolean,
 *   label: string, steady?: boolean, defaultSort?: string, onSort?: (sort: string) => void, sort?: string, actions?: (row: any) => any,
 *   lead?: (row: any) => any, leadHead?: any, onEnd?: () => void, settled?: any}} props
 *   with onSort the rows come sorted; actions is the last cell of each row, lead the one before all others, such as a box to
 *   pick it; onEnd is called when the last row is near; a new value of settled shows the rows as they are now, for what
 *   people did themselves
 */
export function Table({ columns, rows, rowKey, href = undefined, empty = null, busy = false, label, steady = true, defaultSort = "",
  onSort = undefined, sort = undefined, actions = undefined, lead = undefined, leadHead = undefined, onEnd = undefined, settled = undefined }) {
  const narrow = useNarrow();
  const { query } = useRoute();
  const order = sort ?? query.sort ?? defaultSort;
  const sorted = useSorted(rows, columns, order, !!onSort);
  const still = useSteady(sorted, rowKey);
  const height = narrow ? listHeight : rowHeight;
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [from, to] = useWindow(box, still.rows.length, height);
  const [active, setActive] = useState(0);
  const wanted = useRef(-1);
  useLayoutEffect(() => {
    if (wanted.current < 0 || !box.current) return;
    const row = /** @type {HTMLElement | null} */ (box.current.querySelector(`[data-row="${wanted.current}"]`));
    if (row) {
      wanted.current = -1;
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
  });
  useEffect(() => { if (onEnd && rows.length > 0 && to >= still.rows.length - spare) onEnd(); }, [to, rows.length]);
  const go = (/** @type {number} */ row) => {
    const next = Math.max(0, Math.min(still.rows.length - 1, row));
    wanted.current = next;
    setActive(next);
    if ((next < from || next >= to) && box.current) {
      const top = box.current.getBoundingClientRect().top + scrollY + next * height;
      scrollTo(0, Math.max(0, top - innerHeight / 2));
    }
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.dataset.row === undefined || event.metaKey || event.ctrlKey || event.altKey) return;
    const at = Number(target.dataset.row);
    const page = Math.max(1, Math.floor(innerHeight / height) - 4);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: still.rows.length - 1, PageDown: at + page, PageUp: at - page };
    if (event.key in moves) {
      event.preventDefault();
      go(/** @type {any} */ (moves)[event.key]);
    } else if (event.key === "Enter" && href) {
      event.preventDefault();
      navigate(href(still.rows[at]));
    }
  };
  const near = useRef({ pointer: false, focus: false });
  const held = (/** @type {"pointer" | "focus"} */ by, /** @type {boolean} */ on) => {
    near.current[by] = on;
    still.hold(near.current.pointer || near.current.focus);
  };
  useEffect(() => { if (settled !== undefined) still.release(); }, [settled]);
  const hold = steady ? {
    onPointerEnter: () => held("pointer", true),
    onPointerLeave: (/** @type {Event} */ e) => {
      near.current.focus = /** @type {Element} */ (e.currentTarget).contains(document.activeElement); // rows go without a word
      held("pointer", false);
    },
    onFocusIn: () => held("focus", true),
    onFocusOut: (/** @type {FocusEvent} */ e) => { if (!(/** @type {Element} */ (e.currentTarget).contains(/** @type {Node} */ (e.relatedTarget)))) held("focus", false); },
  } : {};
  if (rows.length === 0 && !busy) return html`<div class="table-empty">${empty}</div>`;
  const shown = still.rows.slice(from, to).map((row, i) => {
    const index = from + i;
    const key = rowKey(row);
    return { row, index, key, gone: still.gone.has(key), focusable: index === Math.min(active, still.rows.length - 1), href: href && href(row), actions: actions && actions(row), lead: lead && lead(row) };
  });
  const changed = still.waiting > 0 || still.moved;
  const notice = changed && html`<${NewRows} count=${1} label=${still.waiting > 0 ? `${still.waiting} new` : "The order has changed: sort again"} onShow=${still.release} />`;
  const above = from * height;
  const below = (still.rows.length - to) * height;
  if (narrow) {
    return html`<div class="table-box" onKeyDown=${onKeyDown} ...${hold}>${notice}
      <${SortMenu} columns=${columns} order=${order} onSort=${onSort} />
      <ul class="list" ref=${box} aria-label=${label} aria-busy=${busy}>
        ${above > 0 && html`<li class="spacer" aria-hidden="true" style=${{ height: `${above}px` }}></li>`}
        ${shown.map((one) => html`<${ListItem} key=${one.key} ...${one} columns=${columns} onFocus=${() => setActive(one.index)} />`)}
        ${below > 0 && html`<li class="spacer" aria-hidden="true" style=${{ height: `${below}px` }}></li>`}
      </ul></div>`;
  }
  return html`<div class="table-box" onKeyDown=${onKeyDown} ...${hold}>${notice}
    <table aria-label=${label} aria-rowcount=${still.rows.length + 1} aria-busy=${busy}>
      <thead><tr>${lead && html`<th scope="col" class="lead">${leadHead}</th>`}${columns.map((column) => html`<${Head} key=${column.key} column=${column} order=${order} onSort=${onSort} />`)}
        ${actions && html`<th class="actions"><span class="offscreen">Actions</span></th>`}</tr></thead>
      <tbody ref=${box}>
        ${above > 0 && html`<tr class="spacer" aria-hidden="true" style=${{ height: `${above}px` }}></tr>`}
        ${shown.map((one) => html`<${Cells} key=${one.key} ...${one} columns=${columns} onFocus=${() => setActive(one.index)} />`)}
        ${below > 0 && html`<tr class="spacer" aria-hidden="true" style=${{ height: `${below}px` }}></tr>`}
      </tbody></table></div>`;
}

/** What a click on a column makes of the order. */
function toggled(/** @type {Column} */ column, /** @type {string} */ order) {
  const first = column.first || (column.align === "right" ? "desc" : "asc");
  const [asc, desc] = [column.key, `-${column.key}`];
  if (column.oneWay) return asc;
  if (order === asc) return desc;
  if (order === desc) return asc;
  return first === "desc" ? desc : asc;
}

function Head({ column, order, onSort }) {
  const up = column.oneWay && (column.first || (column.align === "right" ? "desc" : "asc")) === "desc" ? "descending" : "ascending";
  const sorted = order === column.key ? up : order === `-${column.key}` ? "descending" : undefined;
  const text = html`${column.head}${column.unit && html` <span class="unit">${column.unit}</span>`}`;
  const choose = () => (onSort || ((/** @type {string} */ s) => setQuery({ sort: s })))(toggled(column, order));
  return html`<th scope="col" class=${`${column.align === "right" ? "right" : ""} ${column.width === "grow" ? "grow" : ""}`} aria-sort=${sorted}>
    ${column.sort ? html`<button type="button" class="sort" onClick=${choose}>${text}
      ${sorted && html`<${Icon} name=${sorted === "ascending" ? "up" : "down"} />`}</button>` : text}</th>`;
}

function SortMenu({ columns, order, onSort }) {
  const sortable = columns.filter((/** @type {Column} */ c) => c.sort);
  if (sortable.length === 0) return null;
  const choose = (/** @type {any} */ e) => (onSort || ((/** @type {string} */ s) => setQuery({ sort: s })))(e.target.value);
  return html`<label class="sort-menu">Sorted by <select value=${order} onChange=${choose}>
    ${sortable.flatMap((/** @type {Column} */ c) => [...new Set([toggled(c, ""), toggled(c, toggled(c, ""))])].map((value) => html`
      <option key=${value} value=${value}>${c.head}${c.oneWay ? "" : value.startsWith("-") ? ", most first" : ", least first"}</option>`))}
  </select></label>`;
}

function useSorted(rows, /** @type {Column[]} */ columns, /** @type {string} */ order, already) {
  const key = order.replace(/^-/, "");
  const column = columns.find((c) => c.key === key);
  if (already || !column || !column.sort) return rows;
  const compare = typeof column.sort === "function" ? column.sort : (/** @type {any} */ a, /** @type {any} */ b) => plain(a[key], b[key]);
  const sign = order.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => sign * compare(a, b));
}

function plain(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "string" ? a.localeCompare(String(b)) : a < b ? -1 : 1;
}

/** Whether the page is narrow. */
export function useNarrow() {
  const [narrow, setNarrow] = useState(() => matchMedia("(max-width: 699px)").matches);
  useEffect(() => {
    const media = matchMedia("(max-width: 699px)");
    const update = () => setNarrow(media.matches);
    media.addEventListener("change", update);
    return () => media.removeEventListener("change", update);
  }, []);
  return narrow;
}

/** Which rows are drawn, from and to, of those in a box that scrolls with the page. */
function useWindow(box, /** @type {number} */ n, /** @type {number} */ height) {
  const [range, setRange] = useState([0, Math.min(n, 60)]);
  const measure = () => {
    if (n < virtualFrom || !box.current) return;
    const top = box.current.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - spare);
    const last = Math.min(n, Math.ceil((innerHeight - top) / height) + spare);
    setRange((/** @type {number[]} */ before) => (before[0] === first && before[1] === last ? before : [first, Math.max(first, last)]));
  };
  useLayoutEffect(measure, [n, height]);
  useEffect(() => {
    if (n < virtualFrom) return undefined;
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [n, height]);
  return n < virtualFrom ? [0, n] : [Math.min(range[0], n), Math.min(range[1], n)];
}
