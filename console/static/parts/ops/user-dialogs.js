// @ts-check
// Making a user, and changing, disabling and deleting one.
import { api, session } from "../../api.js";
import { Button, Field, ProblemView, ShortId, Time } from "../basics.js";
import { ConfirmDialog, Dialog } from "../dialog.js";
import { html, useState } from "../html.js";
import { say } from "../outcomes.js";
import { requestOf, useAction } from "./action.js";
import { limitWords } from "./users.js";

/** @typedef {import("../../types/api").User} User */

/** What each role may. */
const roles = {
  viewer: "Viewer: reads",
  member: "Member: creates tenants and manages them",
  admin: "Admin: manages everything, users too",
};

/** The fields of a user that is there, or is to be. */
function valuesOf(/** @type {User | undefined} */ u) {
  /** @type {Record<string, string>} */
  const values = { name: u?.name ?? "", email: u?.email ?? "", password: "", role: u?.role ?? "member", tenant_id: u?.tenant_id ?? "" };
  for (const name of Object.keys(limitWords)) values[`limits.${name}`] = u?.limits[name] === undefined ? "" : String(u.limits[name]);
  return values;
}

/**
 * What differs from before, as a body.
 * @param {Record<string, string>} values
 * @param {Record<string, string>} before
 */
export function userBody(values, before) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === before[name]) continue;
    if (name.startsWith("limits.")) {
      body.limits ??= {};
      body.limits[name.slice("limits.".length)] = value.trim() === "" ? null : Number(value);
    } else body[name] = name === "tenant_id" ? value.trim() || null : value;
  }
  return body;
}

/**
 * @param {object} props
 * @param {Record<string, string>} props.values
 * @param {(values: Record<string, string>) => void} props.onChange
 * @param {import("../../problem.js").Problem | null} props.problem
 * @param {boolean} props.fresh
 */
function Fields({ values, onChange, problem, fresh }) {
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => onChange({ ...values, [name]: event.target.value });
  const input = (/** @type {string} */ name, /** @type {Record<string, unknown>} */ more = {}) => html`<input name=${name} value=${values[name]} onInput=${set(name)} autocomplete="off" ...${more} />`;
  const defaults = session.me?.limits ?? {};
  return html`
    <${Field} label="Email" hint="What the user logs in with" pointer="/email" problem=${problem}>${input("email", { type: "email", required: true })}<//>
    <${Field} label="Name" pointer="/name" problem=${problem}>${input("name", { required: true })}<//>
    <${Field} label=${fresh ? "Password" : "New password"} hint=${fresh ? "12 characters at least, not easy to guess" : "The old one stays if empty; a new one ends the user's sessions"} pointer="/password" problem=${problem}>
      ${input("password", { type: "password", autocomplete: "new-password", required: fresh })}<//>
    <${Field} label="Role" pointer="/role" problem=${problem}><select name="role" onChange=${set("role")}>
      ${Object.entries(roles).map(([role, text]) => html`<option key=${role} value=${role} selected=${values.role === role}>${text}</option>`)}</select><//>
    <${Field} label="Belongs to the tenant" hint="Its id; none if empty" pointer="/tenant_id" problem=${problem}>${input("tenant_id", { spellcheck: false })}<//>
    ${!fresh && html`<details class="more" open=${Object.keys(limitWords).some((name) => values[`limits.${name}`] !== "")}>
      <summary>Limits of its tenants</summary>
      <p class="hint">As for everybody if empty; 0 for any number.</p>
      <div class="field-row">${Object.entries(limitWords).map(([name, label]) => html`<${Field} key=${name} label=${label} pointer=${`/limits/${name}`} problem=${problem}>
        ${input(`limits.${name}`, { inputmode: "numeric", placeholder: defaults[name] ? String(defaults[name]) : "any number" })}<//>`)}</div>
    </details>`}`;
}

/** @param {{onDone: () => void, onClose: () => void}} props */
export function NewUser({ onDone, onClose }) {
  const { busy, problem, run } = useAction();
  const [values, setValues] = useState(() => valuesOf(undefined));
  const create = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const { name, email, password, role, tenant_id } = values;
    const answer = await run("create", () => api.post("/users", { name, email, password, role, tenant_id: tenant_id.trim() || null }));
    if (!answer) return;
    say({ text: `${answer.data.email} is made, as ${answer.data.role}.`, requestId: requestOf(answer) });
    onDone();
    onClose();
  };
  return html`<${Dialog} title="New user" onClose=${onClose}>
    <form class="form" onSubmit=${create}>
      <${Fields} values=${values} onChange=${setValues} problem=${problem} fresh=${true} />
      <${ProblemView} problem=${problem} />
      <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" type="submit" busy=${busy !== ""}>Create user<//></footer>
    </form><//>`;
}

/** @param {{user: User, onDone: () => void, onClose: () => void}} props */
export function UserDialog({ user, onDone, onClose }) {
  const { busy, problem, run } = useAction();
  const [before] = useState(() => valuesOf(user));
  const [values, setValues] = useState(before);
  const [asking, setAsking] = useState("");
  const self = session.user?.id === user.id;
  const body = userBody(values, before);
  const change = async (/** @type {Record<string, any>} */ what, /** @type {string} */ said, /** @type {(() => any) | undefined} */ undo = undefined) => {
    const answer = await api.patch(`/users/${user.id}`, what);
    say({ text: said, requestId: requestOf(answer), undo });
    onDone();
    return answer;
  };
  const save = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const ends = "password" in body || "email" in body || "role" in body || "tenant_id" in body;
    const answer = await run("save", () => change(body, `${user.email} is changed: ${Object.keys(body).join(", ").replace("_id", "")}.${ends ? " Its sessions have ended." : ""}`));
    if (answer) onClose();
  };
  /** @type {(off: boolean) => Promise<any>} */
  const disable = (off) => change({ disabled: off }, off ? `${user.email} is disabled: its sessions end within 5 seconds.` : `${user.email} may log in again.`, () => disable(!off));
  const remove = async () => {
    const answer = await api.del(`/users/${user.id}`);
    say({ text: `${user.email} is deleted. The tenants that it created stay.`, requestId: requestOf(answer) });
    onDone();
    onClose();
  };
  if (asking === "delete") {
    return html`<${ConfirmDialog} key="delete" title="Delete this user?" typed=${user.email} action="Delete 1 user" onConfirm=${remove} onClose=${() => setAsking("")}
      sentence="Its sessions and API keys end. The tenants that it created stay." />`;
  }
  if (asking === "disable") {
    return html`<${ConfirmDialog} key="disable" title=${`Disable ${user.email}?`} action="Disable 1 user" onConfirm=${() => disable(true)} onClose=${() => setAsking("")}
      sentence="It cannot log in, and its sessions end within 5 seconds on every replica. Its tenants go on." />`;
  }
  return html`<${Dialog} key="edit" title=${user.email} onClose=${onClose}>
    <p class="muted"><${ShortId} id=${user.id} /> made <${Time} at=${user.created_at} />${user.disabled_at && html`, disabled <${Time} at=${user.disabled_at} />`}.</p>
    <form class="form" onSubmit=${save}>
      <${Fields} values=${values} onChange=${setValues} problem=${problem} fresh=${false} />
      <${ProblemView} problem=${problem} />
      <footer>
        ${!self && html`<${Button} onClick=${() => setAsking("delete")}>Delete<//>
          ${user.disabled ? html`<${Button} busy=${busy === "enable"} onClick=${() => run("enable", () => disable(false))}>Enable<//>` : html`<${Button} onClick=${() => setAsking("disable")}>Disable<//>`}
          <span class="push"></span>`}
        <${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" type="submit" busy=${busy === "save"} disabled=${Object.keys(body).length === 0}>Save<//></footer>
    </form><//>`;
}
