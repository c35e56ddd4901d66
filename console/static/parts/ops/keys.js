// @ts-check
// API keys of a tenant or of an owner: made, shown once, revoked.
import { api, session } from "../../api.js";
import { usePolled } from "../../live.js";
import { Button, Chip, CodeBlock, Empty, Field, ProblemView, ShortId, Time } from "../basics.js";
import { ConfirmDialog, Dialog } from "../dialog.js";
import { counted } from "../format.js";
import { html, useState } from "../html.js";
import { say } from "../outcomes.js";
import { Table } from "../table.js";
import { requestOf, useAction } from "./action.js";
import { ShownOnce } from "./secret.js";
import { Section } from "./section.js";

/** @typedef {import("../../types/api").APIKey} APIKey */

/** What each scope allows, in a few words. */
const scopes = {
  publish: "publish messages",
  read: "read and follow messages, tenants, endpoints and dead letters",
  manage: "change tenants, workers, consumers and endpoints; replay and delete dead letters",
  provision: "create and delete tenants",
};

/** The chip of a key. */
function chip(/** @type {APIKey} */ k) {
  if (k.expires_at && Date.parse(k.expires_at) < Date.now()) return html`<${Chip} state="inactive">expired<//>`;
  return k.last_used_at ? html`<${Chip} state="flows">used<//>` : html`<${Chip} state="inactive">not used yet<//>`;
}

/** @type {import("../table.js").Column[]} */
const columns = [
  { key: "name", head: "Name", width: "grow", sort: true, cell: (/** @type {APIKey} */ k) => html`<bdi>${k.name}</bdi>` },
  { key: "state", head: "State", cell: chip },
  { key: "scopes", head: "Scopes", cell: (/** @type {APIKey} */ k) => html`<span class="muted">${k.scopes.join(", ")}</span>` },
  { key: "last_used_at", head: "Last used", sort: true, cell: (/** @type {APIKey} */ k) => html`<${Time} at=${k.last_used_at} />` },
  { key: "expires_at", head: "Ends", cell: (/** @type {APIKey} */ k) => (k.expires_at ? html`<${Time} at=${k.expires_at} />` : html`<span class="muted">never</span>`) },
  { key: "created_at", head: "Made", sort: true, cell: (/** @type {APIKey} */ k) => html`<${Time} at=${k.created_at} />` },
  { key: "id", head: "Id", narrow: "hide", cell: (/** @type {APIKey} */ k) => html`<${ShortId} id=${k.id} />` },
];

/**
 * @param {{path: string, title: string, owner: boolean}} props path is where the keys are;
 *   owner says that they are for all tenants of their owner
 */
export function Keys({ path, title, owner }) {
  const { data, problem, state, refresh } = usePolled((signal) => api.get(path, { signal }).then((answer) => /** @type {APIKey[]} */ (answer.data.data)), [path], { every: 10_000 });
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {APIKey | null} */ (null));
  const [revoking, setRevoking] = useState(/** @type {APIKey | null} */ (null));
  const may = owner || (!session.portal && session.can("member"));
  const keys = data ?? [];
  const unused = keys.filter((k) => !k.last_used_at).length;
  const sentence = `${counted(keys.length, "key")}${unused > 0 ? `, ${unused} never used` : ""}.`;
  const fresh = html`<${Button} kind="primary" onClick=${() => setMaking(true)}>New key<//>`;
  const revoke = async () => {
    const key = /** @type {APIKey} */ (revoking);
    const answer = await api.del(`${path}/${key.id}`);
    say({ text: `The key ${key.name} is revoked: calls with it are refused within 5 seconds.`, requestId: requestOf(answer) });
    void refresh();
  };
  return html`
    <${Section} title=${title} sentence=${keys.length > 0 ? sentence : undefined} actions=${may && keys.length > 0 && fresh}>
      ${!data && html`<${ProblemView} problem=${problem} />`}
      <div class=${state === "lost" ? "stale" : ""}>
        <${Table} label=${title} rows=${keys} columns=${columns} busy=${!data && !problem} rowKey=${(/** @type {APIKey} */ k) => k.id}
          actions=${may ? (/** @type {APIKey} */ k) => html`<${Button} kind="quiet" aria-label=${`Revoke ${k.name}`} onClick=${() => setRevoking(k)}>Revoke<//>` : undefined}
          empty=${data && html`<${Empty} title="No keys yet"><p>A key is what a machine calls with, in the place of your password: within its scopes${owner ? ", in all tenants that you created" : ", for this tenant alone"}.</p>${may && html`<p>${fresh}</p>`}<//>`} />
      </div>
    <//>
    ${making && html`<${NewKey} path=${path} owner=${owner} onClose=${() => setMaking(false)} onMade=${(/** @type {APIKey} */ k) => { setMaking(false); setMade(k); void refresh(); }} />`}
    ${made && html`<${ShownOnce} title=${`The key ${made.name}`} text=${made.key} what="It goes into the header Authorization, with or without Bearer." onClose=${() => setMade(null)}>
      <${CodeBlock} language="sh" text=${`curl ${location.origin}/api/tenants \\\n  -H "Authorization: Bearer $LANEKEEPER_API_KEY"`} /><//>`}
    ${revoking && html`<${ConfirmDialog} title="Revoke this key?" action="Revoke 1 key" onConfirm=${revoke} onClose=${() => setRevoking(null)}
      sentence=${html`Calls with <bdi>${revoking.name}</bdi> are refused, and streams that it opened end, within 5 seconds. There is no way back. ${revoking.last_used_at ? html`It was last used <${Time} at=${revoking.last_used_at} />.` : "It was never used."}`} />`}`;
}

/** @param {{path: string, owner: boolean, onClose: () => void, onMade: (k: APIKey) => void}} props */
function NewKey({ path, owner, onClose, onMade }) {
  const { busy, problem, run } = useAction();
  const [name, setName] = useState("");
  const [ends, setEnds] = useState("");
  const [chosen, setChosen] = useState(/** @type {string[]} */ (["publish", "read"]));
  const create = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const at = ends ? new Date(ends).toISOString() : null;
    const answer = await run("create", () => api.post(path, { name: name.trim(), scopes: chosen, expires_at: at }));
    if (!answer) return;
    say({ text: `The key ${answer.data.name} is made, for ${answer.data.scopes.join(", ")}.`, requestId: requestOf(answer) });
    onMade(answer.data);
  };
  const names = Object.keys(scopes).filter((scope) => owner || scope !== "provision");
  const toggle = (/** @type {string} */ scope) => setChosen(names.filter((one) => (one === scope) !== chosen.includes(one)));
  return html`<${Dialog} title="New API key" onClose=${onClose}>
    <form class="form" onSubmit=${create}>
      <${Field} label="Name" hint="Who will call with it" pointer="/name" problem=${problem}>
        <input name="name" required maxlength="100" autocomplete="off" value=${name} placeholder="shop backend" onInput=${(/** @type {any} */ e) => setName(e.target.value)} /><//>
      <fieldset class="checks"><legend>It may</legend>
        ${names.map((scope) => html`<label key=${scope}><input type="checkbox" name=${scope} checked=${chosen.includes(scope)} onChange=${() => toggle(scope)} />
          <span><strong>${scope}</strong> <span class="muted">${/** @type {Record<string, string>} */ (scopes)[scope]}</span></span></label>`)}
      </fieldset>
      <${Field} label="Ends" hint="Never if empty" pointer="/expires_at" problem=${problem}>
        <input name="expires_at" type="datetime-local" value=${ends} onInput=${(/** @type {any} */ e) => setEnds(e.target.value)} /><//>
      <${ProblemView} problem=${problem} />
      <footer><${Button} onClick=${onClose}>Cancel<//>
        <${Button} kind="primary" type="submit" busy=${busy !== ""} disabled=${chosen.length === 0}>Create key<//></footer>
    </form>
  <//>`;
}
