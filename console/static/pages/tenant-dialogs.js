// @ts-check
// Making and deleting tenants.
import { api, asProblem } from "../api.js";
import { usePolled } from "../live.js";
import { Button, ConfirmDialog, count, counted, Dialog, Field, html, ProblemView, say, useRef, useState } from "../parts/index.js";

/** The form of a new tenant. What was typed stays, whatever the answer is. */
export function CreateTenant({ onClose, onCreated }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const key = useRef({ body: "", key: "" });
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    if (busy) return;
    const fields = new FormData(event.currentTarget);
    const text = (/** @type {string} */ name) => String(fields.get(name) || "");
    /** @type {Record<string, any>} */
    const body = { name: text("name") };
    if (text("external_id")) body.external_id = text("external_id");
    if (text("description")) body.description = text("description");
    if (text("workers")) body.workers = Number(text("workers"));
    if (text("retention_days")) body.retention_days = Number(text("retention_days"));
    const wanted = JSON.stringify(body); // the same again is the same tenant
    if (key.current.body !== wanted) key.current = { body: wanted, key: `console-${randomKey()}` };
    setBusy(true);
    setProblem(null);
    try {
      const { data, status, headers } = await api.post("/tenants", body, { key: key.current.key });
      const name = html`<span class="name">${data.name}</span>`;
      say({
        text: status === 202 ? html`${name} is being made: RabbitMQ is away, and it is ready once that is back.` : html`${name} is ready, with ${counted(data.workers, "worker")}.`,
        tone: status === 202 ? "waits" : "done", requestId: headers.get("X-Request-ID") || "",
      });
      onClose();
      onCreated(data);
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Create a tenant" onClose=${onClose}>
    <form class="form" onSubmit=${submit}>
      <${Field} label="Name" pointer="/name" problem=${problem} hint="What people call it. Names may repeat."><input name="name" required autocomplete="off" /><//>
      <${Field} label="Your id" pointer="/external_id" problem=${problem} hint="What your system calls it, if it does: taken wherever a tenant's id is, behind ext:"><input name="external_id" autocomplete="off" spellcheck=${false} /><//>
      <div class="field-row">
        <${Field} label="Workers" pointer="/workers" problem=${problem} hint="How many messages at a time, 1 to 100"><input name="workers" type="number" min="1" max="100" placeholder="as configured" /><//>
        <${Field} label="Keep messages for" pointer="/retention_days" problem=${problem} hint="Days; 0 for ever"><input name="retention_days" type="number" min="0" max="3650" placeholder="as configured" /><//>
      </div>
      <${Field} label="Description" pointer="/description" problem=${problem}><input name="description" autocomplete="off" /><//>
      <${ProblemView} problem=${problem} besides=${["/name", "/external_id", "/workers", "/retention_days", "/description"]} />
      <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" type="submit" busy=${busy}>Create<//></footer>
    </form><//>`;
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

/** Asks before a tenant goes, with how much goes with it; onDeleted hears whether it has gone already. */
export function DeleteTenant({ row, onClose, onDeleted }) {
  const { data } = usePolled(async (signal) => (await api.get(`/overview/tenants/${row.tenant_id}`, { signal })).data, [row.tenant_id]);
  const now = data || row;
  const goes = [
    now.last_seq > 0 && counted(now.last_seq, "stored message"), now.backlog > 0 && `${counted(now.backlog, "message")} that wait${now.backlog === 1 ? "s" : ""} in its queue`,
    now.dead_letters > 0 && counted(now.dead_letters, "dead letter"), now.endpoints > 0 && counted(now.endpoints, "endpoint"),
  ].filter(Boolean);
  const all = goes.length === 0 ? "It has no messages." : `With it go ${goes.length === 1 ? goes[0] : `${goes.slice(0, -1).join(", ")} and ${goes[goes.length - 1]}`}.`;
  const confirm = async () => {
    const { status, headers } = await api.del(`/tenants/${row.tenant_id}`);
    const discarded = Number(headers.get("Lanekeeper-Discarded") || 0);
    const name = html`<span class="name">${row.name}</span>`;
    say({
      text: status === 202 ? html`${name} is being deleted; that goes on by itself.`
        : html`${name} is deleted${discarded > 0 ? `, and ${counted(discarded, "message")} of its queue with it` : ""}.`,
      requestId: headers.get("X-Request-ID") || "",
    });
    onDeleted(status !== 202);
  };
  return html`<${ConfirmDialog} title="Delete this tenant?" typed=${row.name} action=${now.last_seq > 0 ? `Delete it and ${count(now.last_seq)} messages` : "Delete it"}
    sentence=${`${all} Nothing of this can be brought back.`} onConfirm=${confirm} onClose=${onClose} />`;
}
