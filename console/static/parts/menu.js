// @ts-check
// What can be done with a row, behind a button.
import { html, useId, useRef } from "./html.js";
import { Icon } from "./icons.js";

/**
 * @param {{label: string, items: {label: string, danger?: boolean, onClick: () => void}[]}} props label says of what it is the menu
 */
export function Menu({ label, items }) {
  const id = useId();
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const toggled = (/** @type {any} */ event) => {
    const menu = /** @type {HTMLElement} */ (list.current);
    const opener = /** @type {HTMLElement} */ (button.current);
    opener.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "open") return;
    const at = opener.getBoundingClientRect();
    const below = at.bottom + menu.offsetHeight + 8 < innerHeight;
    menu.style.top = `${below ? at.bottom + 4 : at.top - menu.offsetHeight - 4}px`;
    menu.style.left = `${Math.max(8, at.right - menu.offsetWidth)}px`;
    const first = menu.querySelector("button");
    if (first) first.focus();
    addEventListener("scroll", () => menu.hidePopover(), { once: true, passive: true });
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    event.stopPropagation();
    const all = [.../** @type {HTMLElement} */ (list.current).querySelectorAll("button")];
    const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement)) + (event.key === "ArrowDown" ? 1 : -1);
    all[(at + all.length) % all.length].focus();
  };
  return html`<button type="button" class="icon-button" ref=${button} popovertarget=${id} aria-haspopup="menu" aria-expanded="false" aria-label=${label}><${Icon} name="more" /></button>
    <div id=${id} ref=${list} popover="auto" class="menu" role="menu" aria-label=${label} onToggle=${toggled} onKeyDown=${press}>
      ${items.map((item) => html`<button key=${item.label} type="button" role="menuitem" tabindex="-1" class=${item.danger ? "danger" : ""}
        onClick=${() => { /** @type {HTMLElement} */ (list.current).hidePopover(); item.onClick(); }}>${item.label}</button>`)}</div>`;
}
