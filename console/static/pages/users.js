// @ts-check
// The users: who they are, what they may, and what their tenants may have.
import { session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Chip, ProblemView, Time } from "../parts/basics.js";
import { count, counted } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { NewUser, UserDialog } from "../parts/ops/user-dialogs.js";
import { readUsers } from "../parts/ops/users.js";
import { PageHead } from "../parts/page.js";
import { Table } from "../parts/table.js";
import { setQuery } from "../router.js";

/** @typedef {import("../types/api").User} User */

/** @type {import("../parts/table.js").Column[]} */
const columns = [
  { key: "email", head: "User", width: "grow", sort: true, cell: (/** @type {User} */ u) => html`<span class="two"><span>${u.email}</span> ${u.name !== u.email && html`<bdi class="muted">${u.name}</bdi>`}</span>` },
  { key: "state", head: "State", cell: (/** @type {User} */ u) => html`<${Chip} state=${u.disabled ? "stopped" : "flows"}>${u.disabled ? "disabled" : "active"}<//>` },
  { key: "role", head: "Role", sort: true },
  { key: "tenant_id", head: "Belongs to", cell: (/** @type {User} */ u) => (u.tenant_id ? "one tenant" : html`<span class="muted">no tenant</span>`) },
  { key: "limits", head: "Own limits", align: "right", cell: (/** @type {User} */ u) => count(Object.keys(u.limits).length) },
  { key: "created_at", head: "Made", align: "right", sort: true, cell: (/** @type {User} */ u) => html`<${Time} at=${u.created_at} />` },
];

/** "12 users, 3 of them admins, 1 disabled." */
function sentenceOf(/** @type {User[]} */ users) {
  if (users.length === 0) return "No users: whoever reaches this address in open mode is the admin.";
  const admins = users.filter((u) => u.role === "admin").length;
  const disabled = users.filter((u) => u.disabled).length;
  return `${counted(users.length, "user")}, ${counted(admins, "admin")}${disabled > 0 ? `, ${count(disabled)} disabled` : ""}.`;
}

/** @param {{query: Record<string, string>}} props */
export default function Page({ query }) {
  const { data, problem, state, refresh } = usePolled(readUsers, [], { every: 5000, enabled: session.can("admin") });
  const [making, setMaking] = useState(false);
  const open = data?.find((u) => u.id === query.user);
  if (!session.can("admin")) return html`<${PageHead} title="Users" sentence="Only admins see the users." />`;
  return html`<${PageHead} title="Users" sentence=${data ? sentenceOf(data) : problem ? "Who there is is not known." : "Loading …"}
      actions=${html`<${Button} kind="primary" onClick=${() => setMaking(true)}>New user<//>`} />
    ${!data && html`<${ProblemView} problem=${problem} />`}
    <div class=${state === "lost" ? "stale" : ""}>
      <${Table} label="Users" rows=${data ?? []} columns=${columns} busy=${!data} rowKey=${(/** @type {User} */ u) => u.id} href=${(/** @type {User} */ u) => `/users?user=${u.id}`} />
    </div>
    ${making && html`<${NewUser} onDone=${refresh} onClose=${() => setMaking(false)} />`}
    ${open && html`<${UserDialog} key=${open.id} user=${open} onDone=${refresh} onClose=${() => setQuery({ user: "" })} />`}`;
}

