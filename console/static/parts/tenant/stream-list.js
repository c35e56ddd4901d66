// @ts-check
// The newest messages, as they are stored.

import { Button, NewRows, ProblemView } from "../basics.js";
import { clockTime, count, rate } from "../format.js";
import { html, useEffect, useRef } from "../html.js";
import { setQuery } from "../../router.js";
import { Find } from "./find.js";
import { useLiveMessages } from "./live.js";
import { MessagesTable } from "./messages-table.js";

/** What the dot says. */
const states = { loading: "connecting", live: "live", late: "reconnecting", lost: "lost" };

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {(message: {id: string, seq: number}) => void} props.onMessage
 * @param {any} props.empty what is said when there is no message at all
 */
export function StreamList({ tenantId, onMessage, empty }) {
  const { list, state, problem, loaded } = useLiveMessages(tenantId, onMessage);
  const reading = useReading(list);
  const oldest = list.rows.at(-1)?.seq;
  const since = clockTime(state.since);
  return html`<section aria-label="Live messages" ref=${reading}>
    <div class="list-head">
      <span class="list-state" title=${`since ${since}`}>
        <span class="stream-dot" data-live=${state.state} role="status"><span class="dot"></span>${states[/** @type {keyof typeof states} */ (state.state)]}</span>
        ${state.state === "late" || state.state === "lost" ? html`<span class="muted">since ${since}</span>` : html`<span class="muted">${rate(list.rate)}/s</span>`}
      </span>
      <${Find} tenantId=${tenantId} />
      <${NewRows} count=${list.waiting} label=${`${count(list.waiting)} new`} onShow=${() => list.show()} />
      <div class="list-buttons">
        <${Button} disabled=${oldest === undefined || oldest <= 1} onClick=${() => setQuery({ before: oldest, after: null }, { replace: false })}>Older<//>
      </div>
    </div>
    ${problem && html`<${ProblemView} problem=${problem} />`}
    <div class="stream">
      ${loaded && list.rows.length === 0 ? empty : html`<${MessagesTable} tenantId=${tenantId} rows=${list.rows} label="Messages, newest first" busy=${!loaded} empty="" />`}
    </div>
  </section>`;
}

/** For how long the pointer may be on its way between the list and what is said of it, in ms. */
const grace = 300;

/**
 * Holds the list while somebody reads it: while the pointer or the focus is in it or on the
 * number of new rows, or text of it is selected.
 * @param {import("./live-list.js").LiveList} list
 */
function useReading(list) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const section = /** @type {HTMLElement} */ (place.current);
    let over = false;
    /** @type {any} */
    let timer;
    const inList = (/** @type {any} */ node) => section.contains(node) && (node instanceof Element ? node : node.parentElement).closest(".stream, .new-rows") !== null;
    const look = () => {
      const selection = document.getSelection();
      const selected = selection !== null && !selection.isCollapsed && inList(selection.anchorNode);
      list.hold(over || selected || inList(document.activeElement));
    };
    const point = (/** @type {boolean} */ now) => {
      clearTimeout(timer);
      over ||= now;
      if (now) look();
      else timer = setTimeout(() => { over = false; look(); }, grace);
    };
    const move = (/** @type {PointerEvent} */ e) => point(e.pointerType === "mouse" && inList(e.target));
    const leave = () => point(false);
    const later = () => setTimeout(look); // the focus is between two elements while this is told
    const events = /** @type {[string, any][]} */ ([["pointerover", move], ["pointerleave", leave], ["focusin", later], ["focusout", later]]);
    for (const [name, heard] of events) section.addEventListener(name, heard);
    document.addEventListener("selectionchange", look);
    return () => {
      clearTimeout(timer);
      for (const [name, heard] of events) section.removeEventListener(name, heard);
      document.removeEventListener("selectionchange", look);
    };
  }, [list]);
  return place;
}
