// @ts-check
// The search: tenants by name and id, pages, and what can be done anywhere.
import { api, session } from "./api.js";
import { placesFor } from "./frame.js";
import { html, useEffect, useId, useRef, useState } from "./parts/html.js";
import { Chip } from "./parts/basics.js";
import { visible } from "./parts/format.js";
import { Icon } from "./parts/icons.js";
import { words } from "./pages/states.js";
import { navigate } from "./router.js";

const idLike = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** @typedef {{id: string, icon: string, text: any, note?: any, go: () => void}} Choice */

/** The dialog that `/` opens. */
export function Palette({ onClose }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const list = useId();
  const [text, setText] = useState("");
  const [tenants, setTenants] = useState(/** @type {any[]} */ ([]));
  const [failed, setFailed] = useState("");
  const [at, setAt] = useState(0);
  useEffect(() => {
    const dialog = /** @type {HTMLDialogElement} */ (ref.current);
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    dialog.showModal();
    return () => {
      dialog.close();
      if (before && before.isConnected) before.focus();
    };
  }, []);
  useEffect(() => {
    const wanted = new AbortController();
    const timer = setTimeout(() => {
      api.get("/overview/tenants", { query: { q: text.trim(), limit: text.trim() ? 8 : 5, sort: text.trim() ? "name" : "state" }, signal: wanted.signal })
        .then(({ data }) => { setTenants(data.data); setFailed(""); setAt(0); }, (error) => { if (!wanted.signal.aborted) setFailed(error.detail || String(error)); });
    }, text ? 120 : 0);
    return () => { clearTimeout(timer); wanted.abort(); };
  }, [text]);

  const choices = found(text.trim(), tenants);
  const choose = (/** @type {Choice | undefined} */ choice) => {
    if (!choice) return;
    onClose();
    choice.go();
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    const moves = /** @type {Record<string, number>} */ ({ ArrowDown: at + 1, ArrowUp: at - 1 });
    if (event.key in moves) {
      event.preventDefault();
      setAt((moves[event.key] + choices.length) % Math.max(1, choices.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(choices[at]);
    }
  };
  return html`<dialog ref=${ref} class="palette" aria-label="Search" onCancel=${(/** @type {Event} */ e) => { e.preventDefault(); onClose(); }}
    onMouseDown=${(/** @type {Event} */ e) => { if (e.target === ref.current) onClose(); }}>
    <div class="palette-box"><div class="palette-field"><${Icon} name="search" />
      <input type="text" role="combobox" aria-expanded="true" aria-controls=${list} aria-activedescendant=${choices[at] ? `${list}-${choices[at].id}` : undefined}
        aria-label="Search tenants and pages" placeholder="Search tenants and pages" autocomplete="off" spellcheck=${false} value=${text}
        onInput=${(/** @type {any} */ e) => setText(e.target.value)} onKeyDown=${press} /></div>
      <ul id=${list} role="listbox" aria-label="Found">${choices.map((choice, i) => html`
        <li key=${choice.id} id=${`${list}-${choice.id}`} role="option" aria-selected=${i === at ? "true" : "false"}
          onMouseMove=${() => setAt(i)} onClick=${() => choose(choice)}><${Icon} name=${choice.icon} /><span class="name">${choice.text}</span><span class="push"></span>${choice.note}</li>`)}</ul>
      ${choices.length === 0 && html`<p class="palette-none muted">Nothing is called so.</p>`}
      ${failed && html`<p class="palette-none wrong">${failed}</p>`}
    </div></dialog>`;
}

/** @returns {Choice[]} */
function found(/** @type {string} */ text, /** @type {any[]} */ tenants) {
  const fits = (/** @type {string} */ name) => name.toLowerCase().includes(text.toLowerCase());
  const pages = placesFor().map((place) => ({ id: `page-${place.key}`, icon: place.icon, text: place.name, note: html`<span class="muted"><kbd>g</kbd> <kbd>${place.key}</kbd></span>`, go: () => navigate(place.path) }));
  const actions = session.can("member") && !session.tenant ? [{ id: "create", icon: "tenants", text: "Create a tenant", go: () => navigate("/tenants?create=1") }] : [];
  const rows = tenants.map((row) => ({ id: row.tenant_id, icon: "tenants", text: visible(row.name), note: html`<${Chip} state=${words(row.state).chip}>${words(row.state).word}<//>`, go: () => navigate(`/tenants/${row.tenant_id}`) }));
  const ids = idLike.test(text) && !rows.some((row) => row.id === text.toLowerCase())
    ? [{ id: "by-id", icon: "tenants", text: `The tenant with the id ${text}`, go: () => navigate(`/tenants/${text.toLowerCase()}`) }] : [];
  if (text === "") return [...pages, ...actions, ...rows];
  return [...ids, ...rows, ...[...pages, ...actions].filter((one) => fits(one.text))];
}
