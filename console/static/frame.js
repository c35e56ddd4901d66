// @ts-check
// What is around every page: the rail, the search, the keys, and the bar that says that the
// service does not answer.
import { reach, session } from "./api.js";
import { useNow } from "./live.js";
import { Button } from "./parts/basics.js";
import { Dialog } from "./parts/dialog.js";
import { clockTime, duration } from "./parts/format.js";
import { html, useEffect, useState } from "./parts/html.js";
import { Icon } from "./parts/icons.js";
import { say } from "./parts/outcomes.js";
import { Palette } from "./palette.js";
import { PortalFrame } from "./portal.js";
import { Link, match, navigate, useRoute } from "./router.js";

/** Where one can go: address, name, icon, the key after g, and who may. */
const places = [
  { path: "/", name: "Overview", icon: "overview", key: "o", role: "viewer" },
  { path: "/tenants", name: "Tenants", icon: "tenants", key: "t", role: "viewer" },
  { path: "/dead-letters", name: "Dead letters", icon: "dead-letters", key: "d", role: "viewer" },
  { path: "/fleet", name: "Fleet", icon: "fleet", key: "f", role: "admin" },
  { path: "/users", name: "Users", icon: "users", key: "u", role: "admin" },
  { path: "/audit", name: "Audit", icon: "audit", key: "a", role: "viewer" },
];

/** The places that there are, for this caller. */
export function placesFor() {
  return places.filter((place) => match(place.path).pattern !== "" && session.can(place.role));
}

/** The frame around a page. */
export function Frame({ children }) {
  const { path } = useRoute();
  const [over, setOver] = useState("");
  useKeys(setOver);
  if (session.portal) return html`<${PortalFrame}>${children}<//>`;
  const here = (/** @type {string} */ to) => (to === "/" ? path === "/" : path === to || path.startsWith(to + "/"));
  return html`<div class="frame">
    <a class="skip" href="#main" onClick=${(/** @type {Event} */ e) => { e.preventDefault(); /** @type {HTMLElement} */ (document.querySelector("h1, main")).focus(); }}>Skip to the page</a>
    <header class="rail">
      <${Link} href="/" class="brand" aria-label="Lanekeeper, overview"><${Mark} /><span>Lanekeeper</span><//>
      <button type="button" class="find" aria-label="Search" aria-keyshortcuts="/" onClick=${() => setOver("search")}><${Icon} name="search" /><span>Search</span><kbd>/</kbd></button>
      <nav aria-label="Console">${placesFor().map((place) => html`
        <${Link} key=${place.path} href=${place.path} aria-current=${here(place.path) ? "page" : undefined}><${Icon} name=${place.icon} /><span>${place.name}</span><//>`)}
      </nav>
      <div class="rail-end"><${Account} />
        <button type="button" class="icon-button" aria-label="Keys" title="Keys (?)" onClick=${() => setOver("keys")}><${Icon} name="help" /></button></div>
    </header>
    <main id="main" class="page" tabindex="-1">${children}</main>
    ${over === "search" && html`<${Palette} onClose=${() => setOver("")} />`}
    ${over === "keys" && html`<${Keys} onClose=${() => setOver("")} />`}
  </div>`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M3 5.500h8M3 10h14M3 14.500h5" /></svg>`;
}

/** Who is logged in, and the way out. */
function Account() {
  if (!session.token) return html`<${Link} href="/me" class="account" title="No secret is set: whoever reaches this address may do everything"><span>Open mode</span><//>`;
  const user = session.user;
  return html`<${Link} href="/me" class="account" title=${user ? `${user.email}, ${user.role}: your account` : "Your account"}><span class="name">${user ? user.email : "Account"}</span><//>
    <${Link} href="/me" class="icon-button account-icon" aria-label="Your account"><${Icon} name="users" /><//>
    <button type="button" class="icon-button" aria-label="Log out" title="Log out everywhere" onClick=${() => session.logout()}><${Icon} name="out" /></button>`;
}

/** What is said where there is no page; alone before there is a frame. */
export function Notice({ title = "", alone = false, children }) {
  const said = html`<section class="notice">${title && html`<h1 tabindex="-1">${title}</h1>`}${children}</section>`;
  return alone ? html`<main>${said}</main>` : said;
}

/** Says that the service does not answer, since when, and greys what is shown. */
export function AwayBar() {
  const [since, setSince] = useState(reach.awaySince);
  useEffect(() => reach.on(() => {
    setSince((before) => {
      if (before && !reach.awaySince) say({ text: `Lanekeeper answers again, after ${duration(Math.max(1, Math.round((Date.now() - before) / 1000)))}.` });
      return reach.awaySince;
    });
  }), []);
  useEffect(() => {
    document.body.classList.toggle("away", since > 0);
    if (!since) return undefined;
    const timer = setInterval(() => { if (!document.hidden) void reach.ping(); }, 2000);
    return () => clearInterval(timer);
  }, [since]);
  return html`<div role="status" class="away-status">${since > 0 && html`<div class="away-bar"><span class="dot"></span>
    <span>Lanekeeper does not answer, for <${Since} at=${since} />. What you see is as of ${clockTime(reach.answeredAt)}.</span>
    <${Button} kind="quiet" onClick=${() => reach.ping()}>Try now<//></div>`}</div>`;
}

function Since({ at }) {
  return html`<span aria-hidden="true">${duration(Math.max(0, Math.floor((useNow() - at) / 1000)))}</span>`;
}

/** Whether keys are for what the focus is in. */
function typing(/** @type {Event} */ event) {
  const target = /** @type {HTMLElement} */ (event.target);
  return target.closest("input, textarea, select, [contenteditable]") !== null || document.querySelector("dialog[open]") !== null;
}

function useKeys(/** @type {(over: string) => void} */ setOver) {
  useEffect(() => {
    let g = 0;
    const press = (/** @type {KeyboardEvent} */ event) => {
      if ((event.metaKey || event.ctrlKey) && event.key === "k" && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        return setOver("search");
      }
      if (event.metaKey || event.ctrlKey || event.altKey || typing(event)) return undefined;
      if (Date.now() - g < 1500) {
        g = 0;
        const place = placesFor().find((one) => one.key === event.key);
        if (place) {
          event.preventDefault();
          return navigate(place.path);
        }
      }
      if (event.key === "g") g = Date.now();
      if (event.key === "/" || event.key === "?") {
        event.preventDefault();
        setOver(event.key === "/" ? "search" : "keys");
      }
      return undefined;
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

/** All keys. */
function Keys({ onClose }) {
  const groups = [
    ["Anywhere", [["/", "Search tenants and pages"], ["?", "This list"], ["Esc", "Close, or leave a field"],
      ...placesFor().map((place) => [`g ${place.key}`, place.name])]],
    ["In tables", [["↑ ↓", "The row before or after"], ["PgUp PgDn", "Further"], ["Home End", "The first or the last row"], ["Enter", "Open the row"]]],
  ];
  return html`<${Dialog} title="Keys" onClose=${onClose} wide><div class="keys">${groups.map(([title, keys]) => html`<section key=${title}><h3>${title}</h3>
    <dl>${/** @type {string[][]} */ (keys).map(([key, what]) => html`<div key=${key}><dt>${key.split(" ").map((one) => html`<kbd key=${one}>${one}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl></section>`)}</div><//>`;
}
