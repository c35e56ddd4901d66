// @ts-check
// A part of a page that answers a question of its own: the sentence, what can be done, the
// details below.
import { html } from "../html.js";

/** @param {{title: string, sentence?: any, state?: string, actions?: any, children?: any}} props */
export function Section({ title, sentence = undefined, state = undefined, actions = undefined, children = undefined }) {
  return html`<section class="section">
    <header class="section-head"><h2>${title}</h2>${actions && html`<div class="page-actions">${actions}</div>`}</header>
    ${sentence && html`<p class="sentence">${state && html`<span class="dot" data-state=${state}></span>`}<span>${sentence}</span></p>`}
    ${children}
  </section>`;
}

/**
 * Facts in two columns: [name, value], of which those without a value are left out.
 * @param {{facts: [string, any][], label: string}} props
 */
export function Facts({ facts, label }) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return html`<dl class="facts" aria-label=${label}>${known.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/**
 * What a list is narrowed to, one of a few.
 * @param {{label: string, value: string, options: [string, string][], onChange: (value: string) => void}} props
 */
export function Choice({ label, value, options, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button key=${key} type="button" aria-pressed=${key === value ? "true" : "false"} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;
}
