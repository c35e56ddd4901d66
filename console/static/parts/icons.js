// @ts-check
// Icons of 16 by 16, drawn in the colour of the text around them.
import { html } from "./html.js";

const shapes = {
  overview: "M2 12.5V9M6 12.5V4M10 12.5V7M14 12.5V2.5",
  tenants: "M2 4h8M2 8h12M2 12h5",
  "dead-letters": "M2 4.5h12v8H2zM2 5l6 4 6-4",
  fleet: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  users: "M8 7.5a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5zM2.8 14c.6-2.6 2.6-4 5.2-4s4.600 1.400 5.200 4",
  audit: "M5.500 4h8M5.500 8h8M5.500 12h8M2.500 4h.01M2.500 8h.01M2.500 12h.01",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zM10.500 10.500L14 14",
  copy: "M6 6h7.500v7.500H6zM3.500 10H2.500V2.500H10v1",
  check: "M3 8.500l3.200 3.200L13 4.500",
  close: "M4 4l8 8M12 4l-8 8",
  up: "M8 12.500v-9M4.500 7L8 3.500 11.500 7",
  down: "M8 3.500v9M4.500 9L8 12.500 11.500 9",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  out: "M6.500 2.500h-4v11h4M10.500 5l3 3-3 3M13 8H6.500",
  help: "M6 6a2 2 0 1 1 3 1.700c-.6.400-1 .8-1 1.500M8 11.700h.01",
};

/** @param {{name: keyof typeof shapes | string}} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path d=${shapes[/** @type {keyof typeof shapes} */ (name)]} /></svg>`;
}
