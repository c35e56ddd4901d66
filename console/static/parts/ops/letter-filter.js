// @ts-check
// What dead letters are narrowed to, in the address.
import { setQuery } from "../../router.js";
import { Button } from "../basics.js";
import { html } from "../html.js";
import { useNarrow } from "../table.js";
import { reasonNames, reasonWords, shortURL } from "./words.js";

/** A time as a field for times of day has it, in the viewer's zone. */
function local(/** @type {string} */ iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** @param {{filter: import("./letters.js").Filter, endpoints: Map<string, import("../../types/api").Endpoint>}} props */
export function LetterFilter({ filter, endpoints }) {
  const narrow = useNarrow();
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => setQuery({ [name]: event.target.value, error: "" });
  const time = (/** @type {string} */ name) => (/** @type {any} */ event) => {
    const at = new Date(event.target.value);
    setQuery({ [name]: Number.isNaN(at.getTime()) ? "" : at.toISOString(), error: "" });
  };
  const gone = filter.endpoint_id && !endpoints.has(filter.endpoint_id);
  const narrowed = filter.reason || filter.endpoint_id || filter.from || filter.to || filter.replayed || filter.error;
  const form = html`<form class="filters" onSubmit=${(/** @type {Event} */ e) => e.preventDefault()}>
    <label>Reason <select onChange=${set("reason")}>
      <option value="" selected=${filter.reason === ""}>Any</option>
      ${reasonNames.map((name) => html`<option key=${name} value=${name} selected=${filter.reason === name}>${reasonWords(name)}</option>`)}
    </select></label>
    ${(endpoints.size > 0 || gone) && html`<label>Endpoint <select onChange=${set("endpoint_id")}>
      <option value="" selected=${filter.endpoint_id === ""}>Any</option>
      ${gone && html`<option value=${filter.endpoint_id} selected>One that is gone</option>`}
      ${[...endpoints.values()].map((e) => html`<option key=${e.id} value=${e.id} selected=${filter.endpoint_id === e.id}>${shortURL(e.url)}</option>`)}
    </select></label>`}
    <label>From <input type="datetime-local" value=${local(filter.from)} onChange=${time("from")} /></label>
    <label>To <input type="datetime-local" value=${local(filter.to)} onChange=${time("to")} /></label>
    <label class="check"><input type="checkbox" checked=${filter.replayed} onChange=${(/** @type {any} */ e) => setQuery({ replayed: e.target.checked ? "true" : "", error: "" })} /> Replayed ones too</label>
    ${narrowed && html`<${Button} kind="quiet" onClick=${() => setQuery({ reason: "", endpoint_id: "", from: "", to: "", replayed: "", error: "" })}>Clear<//>`}
  </form>`;
  return narrow ? html`<details class="more" open=${!!narrowed}><summary>Filter</summary>${form}</details>` : form;
}
