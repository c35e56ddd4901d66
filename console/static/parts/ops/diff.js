// @ts-check
// What a change was, as lines of what was and what is.

import { html } from "../html.js";
import { visible } from "../format.js";

/**
 * A value of the audit log as text.
 * @param {unknown} value
 */
function written(value) {
  if (typeof value === "string") return visible(value) || "(empty)";
  return JSON.stringify(value);
}

/**
 * The facts that differ: name, what it was, what it is. Undefined stands for nothing.
 * @param {Record<string, unknown> | undefined} before
 * @param {Record<string, unknown> | undefined} after
 */
export function changes(before, after) {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  const all = [...names].sort().map((name) => ({ name, was: before?.[name], is: after?.[name] }));
  // Of what was made, or is gone, only what it had says something.
  const says = (/** @type {unknown} */ value) => value !== null && value !== "" && value !== false && value !== undefined;
  return all.filter(({ was, is }) => (was !== undefined && is !== undefined) || says(was) || says(is));
}

/**
 * @param {object} props
 * @param {Record<string, unknown>} [props.before]
 * @param {Record<string, unknown>} [props.after]
 */
export function Diff({ before, after }) {
  const lines = changes(before, after);
  if (lines.length === 0) return null;
  return html`<dl class="diff">
    ${lines.map(
      ({ name, was, is }) => html`<div key=${name}>
        <dt>${name}</dt>
        <dd>
          ${was !== undefined && html`<del><span class="offscreen">was </span>${written(was)}</del>`}
          ${was !== undefined && is !== undefined && html`<span aria-hidden="true"> → </span>`}
          ${is !== undefined && html`<ins>${was !== undefined && html`<span class="offscreen">is now </span>`}${written(is)}</ins>`}
        </dd>
      </div>`,
    )}
  </dl>`;
}
