// @ts-check
// Addresses below /console, by the browser's history.
import { html, useEffect, useState } from "./parts/html.js";

const root = "/console";
/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {{pattern: string, parts: string[]}[]} */
let known = [];

/** Says which addresses there are: "/tenants/:id", with parameters behind colons. */
export function setRoutes(/** @type {string[]} */ patterns) {
  known = patterns.map((pattern) => ({ pattern, parts: split(pattern) }));
}

function split(path) {
  return path.split("/").filter(Boolean);
}

/** The pattern that a path fits, and its parameters; "" for none.
 * @returns {{pattern: string, params: Record<string, string>}} */
export function match(path) {
  const parts = split(path);
  for (const route of known) {
    if (route.parts.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = route.parts.every((part, i) => {
      if (!part.startsWith(":")) return part === parts[i];
      params[part.slice(1)] = decode(parts[i]);
      return true;
    });
    if (fits) return { pattern: route.pattern, params };
  }
  return { pattern: "", params: {} };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function current() {
  const path = location.pathname.startsWith(root) ? location.pathname.slice(root.length) || "/" : "/";
  return { path, ...match(path), query: Object.fromEntries(new URLSearchParams(location.search)) };
}

/** Where we are, and again whenever that changes.
 * @returns {{path: string, pattern: string, params: Record<string, string>, query: Record<string, string>}} */
export function useRoute() {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const update = () => setRoute(current());
    listeners.add(update);
    return () => { listeners.delete(update); };
  }, []);
  return route;
}

/** Goes to a path below /console. */
export function navigate(/** @type {string} */ path, { replace = false } = {}) {
  const url = hrefOf(path);
  if (url === location.pathname + location.search) return;
  const leaves = new URL(url, location.href).pathname !== location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  if (leaves) scrollTo(0, 0);
  tell();
}

/** Changes parts of the query; "" and null take one away. The address is replaced: typing
 * in a search is no way to go back. */
export function setQuery(/** @type {Record<string, any>} */ changes, { replace = true } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  history[replace ? "replaceState" : "pushState"](null, "", location.pathname + (text ? `?${text}` : ""));
  tell();
}

/** The address of a path below /console. */
export function hrefOf(/** @type {string} */ path) {
  return path === root || path.startsWith(root + "/") ? path : root + path;
}

/** A link within the console. */
export function Link({ href, children, ...rest }) {
  const go = (/** @type {MouseEvent} */ event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(href);
  };
  return html`<a href=${hrefOf(href)} onClick=${go} ...${rest}>${children}</a>`;
}

function tell() {
  for (const update of [...listeners]) update();
}
addEventListener("popstate", tell);
