// @ts-check
// One dead letter: why it was given up, and what it carries.
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Empty, ProblemView, ShortId, Time } from "../parts/basics.js";
import { count, counted, visible } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { Body } from "../parts/ops/bytes.js";
import { LettersDialog } from "../parts/ops/letter-dialogs.js";
import { filterOf, partsOf } from "../parts/ops/letters.js";
import { Facts, Section } from "../parts/ops/section.js";
import { useTenantName } from "../parts/ops/tenant-tab.js";
import { phrase, reasonWords, shortURL } from "../parts/ops/words.js";
import { PageHead } from "../parts/page.js";
import { Link, navigate } from "../router.js";

/** @typedef {import("../types/api").DeadLetter} DeadLetter */
/** @typedef {import("../types/api").Endpoint} Endpoint */

/** @param {{params: Record<string, string>}} props */
export default function Page({ params }) {
  return html`<${LetterPage} key=${params.letter_id} tenantId=${params.id} id=${params.letter_id} />`;
}

/** What can be done about a letter with this reason, in a sentence. */
const advice = {
  delivery_failed: "Once the endpoint is mended, replaying delivers the message to it again, with all attempts.",
  invalid_payload: "Replaying it comes to the same: the publisher has to send JSON.",
  invalid_headers: "Replaying it comes to the same: the publisher has to send headers, a type and an ordering key that a message can have.",
  id_conflict: "Another message has the id that this one came with, so the publisher has used it twice for different things.",
  not_storable: "PostgreSQL cannot store the payload, most often because of a \\u0000 in it.",
  unknown: "It came to the dead-letter queue by itself or from another program. Replaying publishes it to the tenant's queue.",
};

/** @param {{tenantId: string, id: string}} props */
function LetterPage({ tenantId, id }) {
  const name = useTenantName(tenantId);
  // Nothing of a letter changes but whether it was replayed, and its body may be large.
  const { data: letter, problem, refresh } = usePolled((signal) => api.get(`/dead-letters/${encodeURIComponent(id)}`, { tenant: tenantId, signal }).then((answer) => /** @type {DeadLetter} */ (answer.data)), [tenantId, id], { every: 60_000 });
  const endpoint = usePolled((signal) => api.get(`/tenants/${tenantId}/endpoints/${letter?.endpoint_id}`, { signal }).then((answer) => /** @type {Endpoint} */ (answer.data)),
    [letter?.endpoint_id], { every: 30_000, enabled: !!letter?.endpoint_id }).data;
  const crumbs = [{ href: "/tenants", label: "Tenants" }, { href: `/tenants/${tenantId}`, label: name || "Tenant" }, { href: `/tenants/${tenantId}/dead-letters`, label: "Dead letters" }];
  if (!letter) {
    const gone = problem?.status === 404 || problem?.status === 400;
    return html`<${PageHead} title="Dead letter" crumbs=${crumbs} sentence=${gone ? "There is no such letter." : problem ? "It cannot be shown now." : "Loading …"} />
      ${gone ? html`<${Empty} title="It is gone"><p>It was deleted, or it was kept as long as dead letters are.</p><//>` : html`<${ProblemView} problem=${problem} />`}`;
  }
  const what = letter.endpoint_id && letter.error ? `${reasonWords(letter.reason)}: ${phrase(letter.error)}` : phrase(letter.error) || reasonWords(letter.reason);
  const sentence = `${what}, after ${counted(letter.attempts, "attempt")}.`;
  const headers = Object.entries(letter.headers);
  return html`
    <${PageHead} title=${`Dead letter ${count(letter.id)}`} crumbs=${crumbs} state=${letter.replayed_at ? "inactive" : "fails"}
      sentence=${html`${sentence}${letter.replayed_at && html` Replayed <${Time} at=${letter.replayed_at} />.`}`}
      actions=${session.may("manage") && html`<${Actions} tenantId=${tenantId} letter=${letter} endpoint=${endpoint} refresh=${refresh} />`} />
    <p class="aside">${/** @type {Record<string, string>} */ (advice)[letter.reason] ?? advice.delivery_failed}</p>
    <${Facts} label="Dead letter" facts=${[
      ["Message", letter.message_id ? html`<${MessageId} tenantId=${tenantId} letter=${letter} />` : "without an id"],
      ["Number in the history", letter.seq !== null && count(letter.seq)],
      ["Type", letter.type && html`<code>${visible(letter.type)}</code>`],
      ["Ordering key", letter.ordering_key && html`<code>${visible(letter.ordering_key)}</code>`],
      ["Endpoint", letter.endpoint_id && html`<${EndpointLink} tenantId=${tenantId} id=${letter.endpoint_id} endpoint=${endpoint} />`],
      ["Given up", html`<${Time} at=${letter.created_at} />`],
    ]} />
    <${Section} title="Body, as it was received"><${Body} value=${letter.body} base64=${letter.body_base64} /><//>
    <${Section} title="Headers">
      ${headers.length === 0 ? html`<p class="muted">It came without headers.</p>` : html`<dl class="facts" aria-label="Headers">
        ${headers.map(([key, value]) => html`<div key=${key}><dt><code>${visible(key)}</code></dt><dd><code class="wrap">${visible(typeof value === "string" ? value : JSON.stringify(value))}</code></dd></div>`)}</dl>`}
    <//>`;
}

/** @param {{tenantId: string, letter: DeadLetter}} props */
function MessageId({ tenantId, letter }) {
  // Only what was stored has a page; the id of others may be anything.
  if (letter.seq !== null) return html`<${Link} href=${`/tenants/${tenantId}/messages/${letter.message_id}`}>${letter.message_id}<//>`;
  return html`<code class="wrap">${visible(letter.message_id)}</code>`;
}

/** @param {{tenantId: string, id: string, endpoint: Endpoint | null}} props */
function EndpointLink({ tenantId, id, endpoint }) {
  if (endpoint) return html`<${Link} href=${`/tenants/${tenantId}/endpoints/${id}`}>${shortURL(endpoint.url)}<//>`;
  return html`<${ShortId} id=${id} />`;
}

/** @param {{tenantId: string, letter: DeadLetter, endpoint: Endpoint | null, refresh: () => Promise<void>}} props */
function Actions({ tenantId, letter, endpoint, refresh }) {
  const [action, setAction] = useState(/** @type {"" | "replay" | "delete"} */ (""));
  const selection = { ids: [letter.id], filter: filterOf({}), count: 1, more: false, parts: partsOf([{ endpoint_id: letter.endpoint_id, count: 1 }]), exact: false };
  const done = () => {
    if (action === "delete") navigate(`/tenants/${tenantId}/dead-letters`, { replace: true });
    else void refresh();
  };
  return html`
    ${!letter.replayed_at && html`<${Button} kind="primary" onClick=${() => setAction("replay")}>Replay<//>`}
    <${Button} kind="danger-line" onClick=${() => setAction("delete")}>Delete<//>
    ${action && html`<${LettersDialog} tenantId=${tenantId} action=${action} selection=${selection} endpoints=${endpoint ? [endpoint] : []} onDone=${done} onClose=${() => setAction("")} />`}`;
}
