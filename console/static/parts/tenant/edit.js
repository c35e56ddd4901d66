// @ts-check
// The dialog that changes what a tenant is called and how it is kept.

import { api, asProblem } from "../../api.js";
import { Button, Field, ProblemView } from "../basics.js";
import { Dialog } from "../dialog.js";
import { html, useMemo, useState } from "../html.js";
import { say } from "../outcomes.js";
import { Pairs, pairsOf, textsOf } from "./pairs.js";

/**
 * @typedef {import("./types.js").Tenant} Tenant
 * @typedef {object} Form
 * @property {string} name
 * @property {string} description
 * @property {string} status
 * @property {string} external_id
 * @property {string} retention_days
 * @property {import("./pairs.js").Pair[]} metadata
 */

/** @param {Tenant} t @returns {Form} */
const formOf = (t) => ({
  name: t.name, description: t.description, status: t.status, external_id: t.external_id ?? "",
  retention_days: String(t.retention_days), metadata: pairsOf(t.metadata),
});

/**
 * What PATCH needs to make one of the other: only what was changed here, so that what
 * somebody else changes meanwhile stays.
 * @param {Tenant} from
 * @param {Form} form
 */
export function changesOf(from, form) {
  /** @type {Record<string, unknown>} */
  const changes = {};
  if (form.name !== from.name) changes.name = form.name;
  if (form.description !== from.description) changes.description = form.description;
  if (form.status !== from.status) changes.status = form.status;
  if (form.external_id !== (from.external_id ?? "")) changes.external_id = form.external_id === "" ? null : form.external_id;
  if (form.retention_days !== String(from.retention_days)) {
    const days = form.retention_days.trim();
    changes.retention_days = /^\d+$/.test(days) ? Number(days) : days; // the service says what is wrong with it
  }
  const metadata = textsOf(form.metadata);
  /** @type {Record<string, string | null>} */
  const changed = {};
  for (const key of Object.keys(from.metadata)) if (!(key in metadata)) changed[key] = null;
  for (const [key, text] of Object.entries(metadata)) if (from.metadata[key] !== text) changed[key] = text;
  if (Object.keys(changed).length > 0) changes.metadata = changed;
  return changes;
}

/** What the members are called in sentences. */
const names = /** @type {const} */ ({
  name: "name", description: "description", status: "status", external_id: "external id", retention_days: "days kept",
});

/**
 * @param {object} props
 * @param {Tenant} props.tenant as it is now
 * @param {() => void} props.onDone after it was changed
 * @param {() => void} props.onClose
 */
export function EditTenant({ tenant, onDone, onClose }) {
  /** As it was when the dialog opened, or when a change made elsewhere was taken note of. */
  const [base, setBase] = useState(tenant);
  const [form, setForm] = useState(() => formOf(tenant));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const changes = useMemo(() => changesOf(base, form), [base, form]);

  /** @param {keyof Form} key */
  const set = (key) => (/** @type {Event} */ e) => setForm({ ...form, [key]: /** @type {HTMLInputElement} */ (e.currentTarget).value });
  const elsewhere = /** @type {(keyof typeof names)[]} */ (Object.keys(names)).filter((key) => tenant[key] !== base[key]);

  /** Takes over what was changed elsewhere, and keeps what was changed here. */
  const take = () => {
    const theirs = formOf(tenant);
    const untouched = /** @type {any} */ ({});
    for (const key of elsewhere) if (!(key in changes)) untouched[key] = theirs[key];
    setForm({ ...form, ...untouched });
    setBase({ ...tenant, metadata: base.metadata });
  };

  /** @param {Event} e */
  const save = async (e) => {
    e.preventDefault();
    if (Object.keys(changes).length === 0) return onClose();
    setBusy(true);
    try {
      const answer = await api.patch(`/tenants/${encodeURIComponent(tenant.id)}`, changes);
      const what = Object.keys(changes).map((key) => names[/** @type {keyof typeof names} */ (key)] ?? key).join(", ");
      say({ text: `Changed: ${what}.`, requestId: answer.headers.get("X-Request-ID") ?? "" });
      onDone();
      onClose();
    } catch (p) {
      setProblem(asProblem(p));
      setBusy(false);
    }
  };

  return html`<${Dialog} title="Edit tenant" onClose=${onClose}>
    <form class="form" onSubmit=${save}>
      ${elsewhere.length > 0 && html`<div class="note" role="status">
        Changed elsewhere meanwhile: ${elsewhere.map((key) => names[key]).join(", ")}.
        <${Button} kind="quiet" onClick=${take}>Take over<//>
      </div>`}
      <${Field} label="Name" problem=${problem} pointer="/name"><input value=${form.name} onInput=${set("name")} required maxlength="400" /><//>
      <${Field} label="Description" problem=${problem} pointer="/description"><textarea rows="2" value=${form.description} onInput=${set("description")}></textarea><//>
      <div class="field-row">
        <${Field} label="Status" hint="Inactive: nothing is taken or stored; queue and history stay." problem=${problem} pointer="/status">
          <select value=${form.status} onChange=${set("status")}>
            ${!["active", "inactive"].includes(base.status) && html`<option value=${base.status}>${base.status}</option>`}
            <option value="active">active</option><option value="inactive">inactive</option>
          </select>
        <//>
        <${Field} label="Days kept" hint="0 for ever." problem=${problem} pointer="/retention_days">
          <input inputmode="numeric" value=${form.retention_days} onInput=${set("retention_days")} />
        <//>
      </div>
      <${Field} label="External id" hint="Your own id of the tenant; calls take it as ext:…" problem=${problem} pointer="/external_id">
        <input value=${form.external_id} onInput=${set("external_id")} spellcheck=${false} />
      <//>
      <${Pairs} label="Metadata" one="metadata" pairs=${form.metadata} problem=${problem} pointer="/metadata"
        onChange=${(/** @type {any} */ metadata) => setForm({ ...form, metadata })} />
      ${problem && html`<${ProblemView} problem=${problem} />`}
      <footer>
        <${Button} onClick=${onClose}>Cancel<//>
        <${Button} kind="primary" type="submit" busy=${busy}>Save<//>
      </footer>
    </form>
  <//>`;
}
