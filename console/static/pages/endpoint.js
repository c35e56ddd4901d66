// @ts-check
// One endpoint: how it does, what it waits for, what was tried, and what can be done.
import { api, serverNow, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Empty, ProblemView } from "../parts/basics.js";
import { Chart } from "../parts/chart.js";
import { Dialog } from "../parts/dialog.js";
import { count } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { say } from "../parts/outcomes.js";
import { requestOf, useAction } from "../parts/ops/action.js";
import { Attempts } from "../parts/ops/attempts.js";
import { DeleteDialog, pathOf, RotateDialog, SkipDialog, useEndpointCalls } from "../parts/ops/endpoint-actions.js";
import { Settings } from "../parts/ops/endpoint-settings.js";
import { EndpointForm } from "../parts/ops/endpoint-form.js";
import { sentenceOf, stateOf, waitsFor } from "../parts/ops/endpoint-state.js";
import { useLag } from "../parts/ops/lag.js";
import { ReplayDialog } from "../parts/ops/replay-dialog.js";
import { Replays } from "../parts/ops/replays.js";
import { Section } from "../parts/ops/section.js";
import { useTenantName } from "../parts/ops/tenant-tab.js";
import { shortURL } from "../parts/ops/words.js";
import { PageHead } from "../parts/page.js";
import { navigate } from "../router.js";

/** @typedef {import("../types/api").Endpoint} Endpoint */
/** @typedef {import("../types/api").Attempt} Attempt */
/** @typedef {import("../types/api").AttemptSummary} AttemptSummary */

/** @param {{params: Record<string, string>}} props */
export default function Page({ params }) {
  return html`<${EndpointPage} key=${params.endpoint_id} tenantId=${params.id} id=${params.endpoint_id} />`;
}

/** @param {{tenantId: string, id: string}} props */
function EndpointPage({ tenantId, id }) {
  const path = `/tenants/${tenantId}/endpoints/${id}`;
  const name = useTenantName(tenantId);
  const { data: e, problem, at, state, refresh } = usePolled((signal) => api.get(path, { signal }).then((answer) => /** @type {Endpoint} */ (answer.data)), [path]);
  const summary = usePolled((signal) => api.get(`${path}/attempts/summary`, { signal }).then((answer) => /** @type {AttemptSummary} */ (answer.data)), [path], { every: 10_000 });
  const [newest, setNewest] = useState(/** @type {Attempt[]} */ ([]));
  const lag = useLag(id, e?.lag, at || undefined);
  const crumbs = [{ href: "/tenants", label: "Tenants" }, { href: `/tenants/${tenantId}`, label: name || "Tenant" }, { href: `/tenants/${tenantId}/endpoints`, label: "Endpoints" }];
  if (!e) {
    const gone = problem?.status === 404;
    return html`<${PageHead} title="Endpoint" crumbs=${crumbs} sentence=${gone ? "There is no such endpoint." : problem ? "How it does is not known." : "Loading …"} />
      ${gone ? html`<${Empty} title="It is gone"><p>Somebody deleted it, or the address is wrong.</p><//>` : html`<${ProblemView} problem=${problem} />`}`;
  }
  const waits = waitsFor(e, newest, serverNow());
  return html`
    <${PageHead} title=${shortURL(e.url)} crumbs=${crumbs} state=${stateOf(e).state} sentence=${sentenceOf(e, summary.data ?? undefined)}
      actions=${session.may("manage") && html`<${Actions} endpoint=${e} refresh=${refresh} />`} />
    <div class=${state === "lost" ? "stale" : ""}>
      ${waits.length > 0 && html`<${Section} title="What it waits for"><ul class="reasons">${waits.map((line) => html`<li key=${line}>${line}</li>`)}</ul><//>`}
      <${Replays} path=${path} />
      <div class="beside">
        <${Section} title="Behind"><${Chart} title="Messages it has not got" series=${[{ label: "Behind", values: lag.values }]} times=${lag.times} now=${count(e.lag)} format=${count} /><//>
        <${Numbers} endpoint=${e} summary=${summary.data} />
      </div>
      <${Section} title="Attempts"><${Attempts} path=${path} tenantId=${tenantId} onPage=${setNewest} /><//>
      <${Settings} endpoint=${e} />
    </div>`;
}

/** @param {{endpoint: Endpoint, summary: AttemptSummary | null}} props */
function Numbers({ endpoint: e, summary }) {
  /** @type {[string, string, string][]} */
  const tiles = [
    ["Tried again", count(e.open), ""],
    ["Delivered up to", count(e.settled_seq), `of ${count(e.last_seq)}`],
    ["Attempts, last hour", summary ? `${count(summary.attempts)}${summary.truncated ? "+" : ""}` : "–", summary ? `${count(summary.attempts - summary.succeeded)} failed` : ""],
    ["Answers in", summary && summary.attempts > 0 ? `${count(summary.p50_ms)} ms` : "–", summary && summary.attempts > 0 ? `99 % in ${count(summary.p99_ms)} ms` : ""],
  ];
  return html`<dl class="numbers">${tiles.map(([name, value, more]) => html`<div key=${name}><dt>${name}</dt><dd><span class="much medium">${value}</span><span class="more">${more}</span></dd></div>`)}</dl>`;
}

/** @param {{endpoint: Endpoint, refresh: () => Promise<void>}} props */
function Actions({ endpoint: e, refresh }) {
  const [dialog, setDialog] = useState("");
  const close = () => setDialog("");
  const calls = useEndpointCalls(() => void refresh());
  const busy = (/** @type {string} */ name) => calls.busy === name;
  const paused = e.status !== "active";
  return html`
    <${Button} busy=${busy("test")} onClick=${() => calls.test(e)}>Test<//>
    ${paused ? html`<${Button} kind="primary" busy=${busy("resume")} onClick=${() => calls.resume(e)}>Resume<//>` : html`<${Button} busy=${busy("hold")} onClick=${() => calls.hold(e)}>Hold<//>`}
    ${e.ordering === "fifo" && e.open > 0 && html`<${Button} onClick=${() => setDialog("skip")}>Skip<//>`}
    <${Button} onClick=${() => setDialog("replay")}>Replay<//>
    <${Button} onClick=${() => setDialog("edit")}>Edit<//>
    <${Button} onClick=${() => setDialog("rotate")}>Rotate secret<//>
    <${Button} kind="danger-line" onClick=${() => setDialog("delete")}>Delete<//>
    ${calls.problem && html`<div class="beneath"><${ProblemView} problem=${calls.problem} /></div>`}
    ${dialog === "skip" && html`<${SkipDialog} endpoint=${e} onDone=${refresh} onClose=${close} />`}
    ${dialog === "replay" && html`<${ReplayDialog} endpoint=${e} onStarted=${() => { close(); void refresh(); }} onClose=${close} />`}
    ${dialog === "edit" && html`<${EditDialog} endpoint=${e} onDone=${refresh} onClose=${close} />`}
    ${dialog === "rotate" && html`<${RotateDialog} endpoint=${e} onDone=${refresh} onClose=${close} />`}
    ${dialog === "delete" && html`<${DeleteDialog} endpoint=${e} onDone=${() => navigate(`/tenants/${e.tenant_id}/endpoints`)} onClose=${close} />`}`;
}

/**
 * Changes an endpoint. What somebody else has changed meanwhile is said, not overwritten:
 * only what was changed here is sent.
 * @param {{endpoint: Endpoint, onDone: () => void, onClose: () => void}} props
 */
function EditDialog({ endpoint, onDone, onClose }) {
  const { busy, problem, run } = useAction();
  const [began] = useState(endpoint);
  const save = async (/** @type {Record<string, unknown>} */ body) => {
    const answer = await run("save", () => api.patch(pathOf(endpoint), body));
    if (!answer) return;
    say({ text: `${shortURL(answer.data.url)} is changed: ${Object.keys(body).join(", ")}. It holds for what begins from now on.`, requestId: requestOf(answer) });
    onDone();
    onClose();
  };
  return html`<${Dialog} title="Change the endpoint" wide=${true} onClose=${onClose}>
    ${endpoint.updated_at !== began.updated_at && html`<p class="caution" role="status">Somebody has changed this endpoint while you were here. Only the fields that you change are saved.</p>`}
    <${EndpointForm} endpoint=${began} busy=${busy} problem=${problem} onSave=${save} onCancel=${onClose} /><//>`;
}
