// @ts-check
// The attempts to deliver a message, newest first, each with what was answered.

import { api } from "../../api.js";
import { ShortId, Time } from "../basics.js";
import { count, duration, visible } from "../format.js";
import { html } from "../html.js";
import { Paged, usePaged } from "../paged.js";

/** @typedef {import("./types.js").Attempt} Attempt */

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {string} props.path
 * @param {Map<string, string>} props.names of endpoints
 * @param {number} props.round another number has them read again
 */
export function Attempts({ tenantId, path, names, round }) {
  const paged = usePaged(async (cursor, signal) =>
    (await api.get(path, { tenant: tenantId, query: { cursor, limit: 20 }, signal })).data, [tenantId, path, round]);
  return html`<section aria-label="Attempts"><h3>Attempts</h3>
    ${paged.rows.length === 0 && !paged.busy && !paged.problem && html`<p class="muted">None on record. They are kept for a number of days.</p>`}
    <ol class="attempts">${paged.rows.map((/** @type {Attempt} */ a) => html`<${One} key=${a.id} attempt=${a} name=${names.get(a.endpoint_id)} />`)}</ol>
    <${Paged} paged=${paged} noun="attempts" />
  </section>`;
}

/** @param {{attempt: Attempt, name?: string}} props */
function One({ attempt: a, name }) {
  const good = a.error === "";
  const answer = a.answer ?? (a.answer_base64 ? `(base64) ${a.answer_base64}` : "");
  return html`<li class="attempt"><details>
    <summary>
      <span class="chip" data-state=${good ? "flows" : "fails"}><span class="dot"></span>${a.status ?? "no answer"}</span>
      <span class="attempt-number">#${count(a.number)}</span>
      <bdi class="attempt-name">${name ?? a.endpoint_id}</bdi>
      ${!good && html`<span class="attempt-error">${visible(a.error)}</span>`}
      <span class="push"></span>
      <span class="number">${duration(a.duration_ms / 1000)}</span>
      <${Time} at=${a.at} />
    </summary>
    <div class="attempt-more">
      ${answer ? html`<pre tabindex="0" aria-label="Answer">${visible(answer)}</pre>` : html`<p class="muted">The answer had no body.</p>`}
      <p class="muted">Attempt <${ShortId} id=${a.id} />${a.probe && " · a probe of the open breaker"}${a.replay_id && html` · part of replay <${ShortId} id=${a.replay_id} />`}${a.next_at && html` · next <${Time} at=${a.next_at} />`}</p>
    </div>
  </details></li>`;
}
