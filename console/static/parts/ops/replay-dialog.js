// @ts-check
// Delivering a range of messages again: asks how many they are before it begins.

import { Button, Field, ProblemView } from "../basics.js";
import { html, useState } from "../html.js";
import { api } from "../../api.js";
import { Dialog } from "../dialog.js";
import { say } from "../outcomes.js";
import { requestOf, useAction } from "./action.js";
import { pathOf } from "./endpoint-actions.js";
import { count, counted } from "../format.js";
import { about, shortURL } from "./words.js";

/** @typedef {import("../../types/api").Endpoint} Endpoint */
/** @typedef {import("../../types/api").Replay} Replay */

const empty = { by: "seq", from_seq: "", to_seq: "", from: "", to: "", only: "all", types: "", rate: "100" };

/**
 * The body of a replay of what stands in the fields.
 * @param {typeof empty} v
 */
export function replayBody(v) {
  /** @type {Record<string, unknown>} */
  const body = { only: v.only, rate: Number(v.rate) };
  if (v.by === "seq" && v.from_seq) body.from_seq = Number(v.from_seq);
  if (v.by === "seq" && v.to_seq) body.to_seq = Number(v.to_seq);
  if (v.by === "time" && v.from) body.from = new Date(v.from).toISOString();
  if (v.by === "time" && v.to) body.to = new Date(v.to).toISOString();
  const types = v.types.split(/[\s,]+/).filter(Boolean);
  if (types.length > 0) body.types = types;
  return body;
}

/**
 * @param {object} props
 * @param {Endpoint} props.endpoint
 * @param {(replay: Replay) => void} props.onStarted
 * @param {() => void} props.onClose
 */
export function ReplayDialog({ endpoint, onStarted, onClose }) {
  const { busy, problem, run } = useAction();
  const [values, setValues] = useState(empty);
  const [found, setFound] = useState(/** @type {Replay | null} */ (null));
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => {
    setValues({ ...values, [name]: event.currentTarget.value });
    setFound(null);
  };
  const ask = (/** @type {boolean} */ dry) => api.post(`${pathOf(endpoint)}/replay`, { ...replayBody(values), dry_run: dry });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!found) {
      const answer = await run("count", () => ask(true));
      if (answer) setFound(answer.data);
      return;
    }
    const answer = await run("start", () => ask(false));
    if (!answer) return;
    say({ text: `A replay of ${counted(answer.data.total, "message")} to ${shortURL(endpoint.url)} has begun.`, requestId: requestOf(answer) });
    onStarted(answer.data);
  };
  const field = (/** @type {keyof typeof empty} */ name, /** @type {string} */ label, /** @type {Record<string, unknown>} */ more) =>
    html`<${Field} label=${label} pointer=${`/${name}`} problem=${problem}><input name=${name} value=${values[name]} onInput=${set(name)} ...${more} /><//>`;
  const rate = Number(values.rate) || 100;
  return html`<${Dialog} title="Replay a range of messages" onClose=${onClose}>
    <form class="form" onSubmit=${submit}>
      <p>They are delivered to ${shortURL(endpoint.url)} again, behind what is new and out of order. What is on its way anyway is left out.</p>
      <fieldset class="radios">
        <legend>Range</legend>
        ${[["seq", "By number"], ["time", "By time"]].map(
          ([by, label]) => html`<label key=${by}><input type="radio" name="by" value=${by} checked=${values.by === by} onChange=${set("by")} /> ${label}</label>`,
        )}
      </fieldset>
      <div class="field-row">
        ${values.by === "seq"
          ? html`${field("from_seq", "From message", { inputmode: "numeric", placeholder: "1" })} ${field("to_seq", "To message", { inputmode: "numeric", placeholder: String(endpoint.settled_seq) })}`
          : html`${field("from", "Stored from", { type: "datetime-local", step: 1 })} ${field("to", "to", { type: "datetime-local", step: 1 })}`}
      </div>
      <div class="field-row three">
        <${Field} label="Only" pointer="/only" problem=${problem}>
          <select name="only" onChange=${set("only")}>
            <option value="all" selected=${values.only === "all"}>All of them</option>
            <option value="failed" selected=${values.only === "failed"}>What was given up</option>
          </select>
        <//>
        ${field("types", "Types", { placeholder: "order.*" })} ${field("rate", "Rate, per second", { inputmode: "numeric" })}
      </div>
      <${ProblemView} problem=${problem} />
      ${found && html`<p role="status">${count(found.total)} of messages ${count(found.from_seq)} to ${count(found.to_seq)}, at ${count(rate)}/s: ${about(found.total, rate)}.</p>`}
      <footer>
        <${Button} onClick=${onClose}>Cancel<//>
        <${Button} kind="primary" type="submit" busy=${busy !== ""} disabled=${found?.total === 0}>${found ? `Replay ${counted(found.total, "message")}` : "Count them"}<//>
      </footer>
    </form>
  <//>`;
}
