// @ts-check
// The caller: who that is, what it may have and has, its password, its sessions and keys.
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Field, ProblemView, ShortId } from "../parts/basics.js";
import { ConfirmDialog } from "../parts/dialog.js";
import { count, counted } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { say } from "../parts/outcomes.js";
import { requestOf, useAction } from "../parts/ops/action.js";
import { Keys } from "../parts/ops/keys.js";
import { Section } from "../parts/ops/section.js";
import { limitWords } from "../parts/ops/users.js";
import { PageHead } from "../parts/page.js";
import { Link } from "../router.js";

/** @typedef {import("../types/api").Me} Me */

export default function Page() {
  const { data: me, problem } = usePolled((signal) => api.get("/me", { signal }).then((answer) => /** @type {Me} */ (answer.data)), [], { every: 10_000 });
  const [leaving, setLeaving] = useState(false);
  if (!me) return html`<${PageHead} title="Account" sentence=${problem ? "Who you are is not known." : "Loading …"} /><${ProblemView} problem=${problem} />`;
  const { user, used } = me;
  const sentence = user ? `${user.name}, ${me.role}, with ${counted(used.tenants, "tenant")} and ${counted(used.workers, "worker")}.` : "Open mode: no secret is set, so whoever reaches this address is the admin.";
  return html`<${PageHead} title=${user ? user.email : "Account"} sentence=${sentence}
      actions=${user && html`<${Button} onClick=${() => setLeaving(true)}>Log out everywhere<//>`} />
    ${user && html`<p class="aside muted">Id <${ShortId} id=${user.id} />${me.tenant_id && html` belongs to <${Link} href=${`/tenants/${me.tenant_id}`}>one tenant<//>`}</p>`}
    <${Section} title="What you may have"><${Limits} me=${me} /><//>
    ${user && html`<${Section} title="Password"><${Password} email=${user.email} /><//>`}
    <${Keys} path="/api-keys" title="Your API keys" owner=${true} />
    ${leaving && html`<${ConfirmDialog} title="Log out everywhere?" kind="primary" action="Log out" onConfirm=${() => session.logout()} onClose=${() => setLeaving(false)}
      sentence="All of your sessions end, on every device, within 5 seconds, and their streams with them. API keys go on." />`}`;
}

/** What the tenants of the caller may have, and have. @param {{me: Me}} props */
function Limits({ me }) {
  /** @type {Record<string, number>} */
  const used = { tenants: me.used.tenants, tenants_per_minute: me.used.tenants_last_minute, workers: me.used.workers };
  return html`<dl class="limits">${Object.entries(limitWords).map(([name, label]) => {
    const limit = me.limits[name];
    const has = used[name];
    const value = has === undefined ? (limit ? count(limit) : "any number") : limit ? html`${count(has)} <span class="unit">of ${count(limit)}</span>` : html`${count(has)} <span class="unit">of any number</span>`;
    return html`<div key=${name}><dt>${label}</dt><dd>${value}
      ${has !== undefined && limit > 0 && html`<progress max=${limit} value=${Math.min(has, limit)} aria-label=${`${label}: ${has} of ${limit}`}></progress>`}</dd></div>`;
  })}</dl>`;
}

/** @param {{email: string}} props */
function Password({ email }) {
  const { busy, problem, run } = useAction();
  const [values, setValues] = useState({ current: "", next: "" });
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => setValues({ ...values, [name]: event.target.value });
  const change = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const answer = await run("change", () => api.put("/me/password", { current: values.current, new: values.next }));
    if (!answer) return;
    // All tokens have ended, this one too: log in again with the new one.
    await run("login", () => session.login(email, values.next));
    setValues({ current: "", next: "" });
    say({ text: "The password is changed. All other sessions have ended.", requestId: requestOf(answer) });
  };
  return html`<form class="form narrow" onSubmit=${change}>
    <input type="hidden" autocomplete="username" value=${email} />
    <${Field} label="Current password" pointer="/current" problem=${problem}><input name="current" type="password" autocomplete="current-password" required value=${values.current} onInput=${set("current")} /><//>
    <${Field} label="New password" hint="12 characters at least, not easy to guess" pointer="/new" problem=${problem}><input name="new" type="password" autocomplete="new-password" required value=${values.next} onInput=${set("next")} /><//>
    <${ProblemView} problem=${problem} />
    <footer><${Button} type="submit" kind="primary" busy=${busy !== ""}>Change password<//></footer>
  </form>`;
}
