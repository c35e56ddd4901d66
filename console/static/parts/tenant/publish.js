// @ts-check
// The box that publishes a message, and says when it is seen arriving.

import { api, asProblem, Problem } from "../../api.js";
import { Button, Field, ProblemView } from "../basics.js";
import { count } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { mistakeIn, placeOfByte } from "./json-place.js";
import { Pairs, textsOf } from "./pairs.js";
import { Receipts } from "./receipts.js";

/** How many publications are shown. */
const kept = 5;

/**
 * @typedef {object} Draft what is typed and not published
 * @property {string} payload
 * @property {string} type
 * @property {string} key the ordering key
 * @property {string} idempotency
 * @property {import("./pairs.js").Pair[]} headers
 */

/** The draft of the tenant that was looked at last, so that leaving the page loses nothing. */
const drafts = { tenant: "", draft: /** @type {Draft | null} */ (null) };

/** @returns {Draft} */
const fresh = () => ({ payload: '{\n  "text": "hello"\n}', type: "", key: "", idempotency: "", headers: [] });

/**
 * The body of POST /messages. The payload is put in as it was typed, so that numbers with
 * many digits, and what else a browser would change, stay as they are.
 * @param {Draft} draft whose payload is JSON
 */
export function bodyOf(draft) {
  const headers = textsOf(draft.headers);
  const rest = JSON.stringify({
    ...(draft.type === "" ? {} : { type: draft.type }),
    ...(draft.key === "" ? {} : { ordering_key: draft.key }),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
  });
  return `{"payload":${draft.payload}${rest === "{}" ? "}" : `,${rest.slice(1)}`}`;
}

/** Which byte of the payload a problem is about; -1 for none. @param {any} problem */
function byteOf(problem) {
  const error = problem?.errors?.find((/** @type {any} */ e) => e.pointer === "/payload");
  const match = /at byte (\d+)/.exec(error?.message ?? "");
  return match ? Number(match[1]) : -1;
}

/**
 * @param {object} props
 * @param {import("./types.js").Tenant} props.tenant
 * @param {import("./arrivals.js").Arrivals} props.arrivals
 */
export function PublishBox({ tenant, arrivals }) {
  const [draft, setDraft] = useState(() => (drafts.tenant === tenant.id && drafts.draft) || fresh());
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [receipts, setReceipts] = useState(/** @type {import("./receipts.js").Receipt[]} */ ([]));
  const [folded, fold] = useState(() => matchMedia("(max-width: 1080px)").matches);
  const payload = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => {
    drafts.tenant = tenant.id;
    drafts.draft = draft;
  }, [tenant.id, draft]);

  /** @param {keyof Draft} key */
  const set = (key) => (/** @type {any} */ e) => setDraft({ ...draft, [key]: e.currentTarget.value });

  /** Shows where the payload goes wrong. @param {number} at */
  const point = (at) => {
    const area = payload.current;
    if (!area) return;
    area.focus();
    area.setSelectionRange(at, Math.min(at + 1, area.value.length));
  };

  const publish = async () => {
    if (busy) return;
    const mistake = mistakeIn(draft.payload);
    if (mistake) {
      const message = `Line ${count(mistake.line)}, column ${count(mistake.column)}: ${mistake.message}`;
      setProblem(new Problem({ status: 0, code: "not_json", errors: [{ pointer: "/payload", message }] }));
      return point(mistake.at);
    }
    if (!/^[\x20-\x7e]*$/.test(draft.idempotency)) { // a browser cannot even send it
      const errors = [{ pointer: "Idempotency-Key", message: "must have printable ASCII characters only" }];
      return setProblem(new Problem({ status: 0, code: "invalid_fields", detail: "The message was not sent.", errors }));
    }
    setBusy(true);
    const began = performance.now();
    const arrival = arrivals.expect();
    try {
      const answer = await api.post("/messages", undefined, { text: bodyOf(draft), tenant: tenant.id, key: draft.idempotency || undefined });
      setProblem(null);
      const receipt = {
        id: answer.data.id, at: began, took: performance.now() - began,
        replayed: answer.headers.get("Idempotent-Replayed") === "true", arrival: arrival.of(answer.data.id),
      };
      setReceipts((was) => [receipt, ...was].slice(0, kept));
    } catch (error) {
      arrival.cancel();
      const e = asProblem(error);
      const byte = byteOf(e);
      if (byte >= 0) {
        const place = placeOfByte(draft.payload, byte);
        setProblem(located(e, place));
        point(place.at);
      } else setProblem(e);
    } finally {
      setBusy(false);
    }
  };

  /** @param {KeyboardEvent} e */
  const typed = (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      void publish();
    }
  };
  const more = draft.headers.length > 0 || draft.idempotency !== "" || problem?.errors?.some((/** @type {any} */ e) => /^\/headers|Idempotency-Key/.test(e.pointer));
  if (folded) return html`<div class="publish-fold"><${Button} onClick=${() => fold(false)}>Publish a message<//></div>`;
  return html`<form class="publish form" aria-label="Publish a message" onKeyDown=${typed}
    onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), void publish())}>
    <h2>Publish</h2>
    <${Field} label="Payload" problem=${problem} pointer="/payload">
      <textarea class="mono" rows="8" spellcheck=${false} ref=${payload} value=${draft.payload} onInput=${set("payload")}></textarea>
    <//>
    <div class="field-row">
      <${Field} label="Type" problem=${problem} pointer="/type"><input value=${draft.type} placeholder="order.created" spellcheck=${false} onInput=${set("type")} /><//>
      <${Field} label="Ordering key" problem=${problem} pointer="/ordering_key"><input value=${draft.key} placeholder="order-1842" spellcheck=${false} onInput=${set("key")} /><//>
    </div>
    <details open=${more}>
      <summary>Headers, idempotency key</summary>
      <div class="form">
        <${Pairs} label="Headers" one="header" pairs=${draft.headers} problem=${problem} pointer="/headers"
          onChange=${(/** @type {any} */ headers) => setDraft({ ...draft, headers })} />
        <${Field} label="Idempotency key" hint="The same key again publishes nothing twice, for 24 hours." problem=${problem} pointer="Idempotency-Key">
          <input value=${draft.idempotency} spellcheck=${false} onInput=${set("idempotency")} />
        <//>
      </div>
    </details>
    ${problem && problem.code !== "not_json" && html`<${ProblemView} problem=${problem} />`}
    <div class="publish-end">
      <span class="hint"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span>
      <${Button} kind="primary" type="submit" busy=${busy}>Publish<//>
    </div>
    <${Receipts} tenantId=${tenant.id} receipts=${receipts} />
  </form>`;
}

/** A problem that names the line and column. @param {any} problem @param {import("./json-place.js").Place} place */
function located(problem, place) {
  const errors = problem.errors.map((/** @type {any} */ e) =>
    e.pointer === "/payload" ? { ...e, message: `${e.message} (line ${count(place.line)}, column ${count(place.column)})` } : e);
  return new Problem({ ...problem, errors, detail: problem.detail });
}
