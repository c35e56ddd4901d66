// @ts-check
// Names and texts in rows, for headers and metadata.

import { Button } from "../basics.js";
import { html, useRef } from "../html.js";
import { Icon } from "../icons.js";

/** @typedef {{key: string, text: string}} Pair */

/** @param {Record<string, string> | undefined} texts @returns {Pair[]} */
export function pairsOf(texts) {
  return Object.entries(texts ?? {}).map(([key, text]) => ({ key, text }));
}

/**
 * The rows as an object, without those that are empty.
 * @param {Pair[]} pairs
 * @returns {Record<string, string>}
 */
export function textsOf(pairs) {
  return Object.fromEntries(pairs.filter((p) => p.key !== "" || p.text !== "").map((p) => [p.key, p.text]));
}

/** @param {string} key as a part of a JSON pointer */
const escaped = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.one what a row is called
 * @param {Pair[]} props.pairs
 * @param {(pairs: Pair[]) => void} props.onChange
 * @param {any} [props.problem]
 * @param {string} props.pointer of the object in the body
 */
export function Pairs({ label, one, pairs, onChange, problem, pointer }) {
  const list = useRef(/** @type {HTMLFieldSetElement | null} */ (null));
  /** @param {number} at @param {Partial<Pair>} part */
  const set = (at, part) => onChange(pairs.map((p, i) => (i === at ? { ...p, ...part } : p)));
  const add = () => {
    onChange([...pairs, { key: "", text: "" }]);
    requestAnimationFrame(() => /** @type {HTMLElement | undefined} */ ([...(list.current?.querySelectorAll(".pair input:first-child") ?? [])].at(-1))?.focus());
  };
  /** @type {{pointer: string, message: string}[]} */
  const errors = (problem?.errors ?? []).filter((/** @type {any} */ e) => e.pointer === pointer || e.pointer.startsWith(`${pointer}/`));
  return html`<fieldset class="pairs" ref=${list}>
    <legend>${label}</legend>
    ${pairs.map((p, at) => {
      const wrong = errors.filter((e) => e.pointer === `${pointer}/${escaped(p.key)}`);
      return html`<div class="pair" key=${at}>
        <input value=${p.key} placeholder="name" aria-label=${`Name of ${one} ${at + 1}`} spellcheck=${false} aria-invalid=${wrong.length > 0}
          onInput=${(/** @type {any} */ e) => set(at, { key: e.currentTarget.value })} />
        <input value=${p.text} placeholder="text" aria-label=${`Text of ${one} ${at + 1}`} spellcheck=${false} aria-invalid=${wrong.length > 0}
          onInput=${(/** @type {any} */ e) => set(at, { text: e.currentTarget.value })} />
        <button type="button" class="icon-button" aria-label=${`Remove ${one} ${at + 1}`} onClick=${() => onChange(pairs.filter((_, i) => i !== at))}><${Icon} name="close" /></button>
        ${wrong.map((e) => html`<p class="wrong">${e.message}</p>`)}
      </div>`;
    })}
    ${errors.filter((e) => e.pointer === pointer).map((e) => html`<p class="wrong">${e.message}</p>`)}
    <${Button} kind="quiet" type="button" onClick=${add}>Add ${one}<//>
  </fieldset>`;
}
