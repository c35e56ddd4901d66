// @ts-check
// The console inside another product: its name, its logo and its colour instead of the rail,
// and the pages of one tenant.
import { api, session } from "./api.js";
import { mix, parse, towards } from "./parts/color.js";
import { html, useEffect, useState } from "./parts/html.js";

/** @typedef {import("./types/api").Branding} Branding */

/** The only place there is for who came with a portal link; "" for all others. */
export function portalHome() {
  return session.portal && session.tenant ? `/tenants/${session.tenant}` : "";
}

/** Whether an address is for others. */
export function beyondPortal(/** @type {string} */ path) {
  const home = portalHome();
  return home !== "" && path !== home && !path.startsWith(`${home}/`);
}

/** What is around the pages of a portal. */
export function PortalFrame({ children }) {
  const [look, setLook] = useState(/** @type {Branding | null} */ (null));
  useEffect(() => { api.get("/portal").then((answer) => setLook(answer.data), () => {}); }, []);
  useEffect(() => (look && look.color ? paint(look.color) : undefined), [look]);
  return html`${look && (look.name || look.logo) && html`<header class="portal-head">
      ${look.logo && html`<img src=${look.logo} alt=${look.name ? "" : "Logo"} height="24" />`}${look.name && html`<span>${look.name}</span>`}
    </header>`}
    <main id="main" class="page alone" tabindex="-1">${children}</main>`;
}

/** What the accent is written on, and what is written on it: --bg and --on-fill. */
const grounds = { light: "#ffffff", dark: "#101114" };
const onFill = "#ffffff";

/** Gives the page a colour, as far as it can be read; returns what ends that. */
function paint(/** @type {string} */ color) {
  const root = document.documentElement.style;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const names = ["--accent", "--accent-fill", "--accent-fill-hover", "--accent-soft"];
  const apply = () => {
    const text = towards(color, dark.matches ? "#ffffff" : "#000000", dark.matches ? grounds.dark : grounds.light);
    const fill = towards(color, "#000000", onFill);
    const soft = parse(text).join(" ");
    [text, fill, mix(fill, "#000000", 0.12), `rgb(${soft} / 10%)`].forEach((value, at) => root.setProperty(names[at], value));
  };
  apply();
  dark.addEventListener("change", apply);
  return () => {
    dark.removeEventListener("change", apply);
    names.forEach((name) => root.removeProperty(name));
  };
}
