// @ts-check
// The dead letters of a tenant: in groups first, then one by one; to be replayed or deleted.
import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Empty, ProblemView } from "../parts/basics.js";
import { count, counted } from "../parts/format.js";
import { html, useEffect, useMemo, useState } from "../parts/html.js";
import { LettersDialog } from "../parts/ops/letter-dialogs.js";
import { LetterFilter } from "../parts/ops/letter-filter.js";
import { groupsSentence, GroupTable, groupWords, useGroups } from "../parts/ops/letter-groups.js";
import { Jobs } from "../parts/ops/letter-jobs.js";
import { LetterList } from "../parts/ops/letter-list.js";
import { filterOf, lettersOf, partsOf } from "../parts/ops/letters.js";
import { Section } from "../parts/ops/section.js";
import { TenantTab } from "../parts/ops/tenant-tab.js";
import { clock } from "../parts/ops/words.js";
import { setQuery } from "../router.js";

/** @typedef {import("../types/api").DeadLetterGroup} DeadLetterGroup */
/** @typedef {import("../types/api").DeadLetterGroups} Groups */
/** @typedef {import("../types/api").DeadLetterSummary} Letter */
/** @typedef {import("../types/api").Endpoint} Endpoint */
/** @typedef {import("../parts/ops/letters.js").Filter} Filter */
/** @typedef {import("../parts/ops/letters.js").Selection} Selection */

/** @param {{params: Record<string, string>, query: Record<string, string>}} props */
export default function Page({ params, query }) {
  return html`<${TenantTab} key=${params.id} id=${params.id} tab="dead-letters">${() => html`<${DeadLetters} tenantId=${params.id} query=${query} />`}<//>`;
}

/** The endpoints of a tenant by their ids. */
function useEndpoints(/** @type {string} */ tenantId) {
  const { data } = usePolled((signal) => api.get(`/tenants/${tenantId}/endpoints`, { signal }).then((answer) => /** @type {Endpoint[]} */ (answer.data.data)), [tenantId], { every: 30_000 });
  return useMemo(() => new Map((data ?? []).map((e) => [e.id, e])), [data]);
}

/** The group that the address has picked, if it is one. */
function pickedGroup(/** @type {Filter} */ f, /** @type {Groups | null} */ groups) {
  if (!f.error) return undefined;
  return groups?.data.find((g) => g.error === f.error && g.reason === f.reason && (g.endpoint_id ?? "") === f.endpoint_id);
}

/**
 * What an action about a whole filter is about.
 * @param {Filter} filter
 * @param {Groups} groups
 * @returns {Selection}
 */
export function selectionOf(filter, groups) {
  const meant = filter.error ? groups.data.filter((g) => g.error === filter.error) : groups.data;
  const number = meant.reduce((sum, g) => sum + g.count, filter.error ? 0 : groups.others);
  const parts = partsOf(meant);
  if (!filter.error && groups.others > 0) parts.set(filter.endpoint_id, (parts.get(filter.endpoint_id) ?? 0) + groups.others);
  // A group is the same as its reason and endpoint where these have no other errors.
  const alone = groups.data.length === meant.length && groups.others === 0 && !groups.truncated;
  return { ids: null, filter, count: number, more: groups.truncated, parts, exact: !filter.error || alone };
}

/** What an action about picked letters is about. @returns {Selection} */
function pickedSelection(/** @type {Map<number, Letter>} */ picked, /** @type {Filter} */ filter) {
  const parts = partsOf([...picked.values()].map((l) => ({ endpoint_id: l.endpoint_id, count: 1 })));
  return { ids: [...picked.keys()], filter, count: picked.size, more: false, parts, exact: false };
}

/** @param {{tenantId: string, query: Record<string, string>}} props */
function DeadLetters({ tenantId, query }) {
  const filter = useMemo(() => filterOf(query), [JSON.stringify(query)]);
  const endpoints = useEndpoints(tenantId);
  const { data: groups, problem, state, refresh } = useGroups(tenantId, filter);
  const [picked, setPicked] = useState(/** @type {Map<number, Letter>} */ (new Map()));
  const [again, setAgain] = useState(0);
  const [dialog, setDialog] = useState(/** @type {{action: "replay" | "delete", selection: Selection} | null} */ (null));
  const may = session.may("manage");
  const where = JSON.stringify(filter);
  useEffect(() => setPicked(new Map()), [where]);
  const changed = () => {
    setAgain((n) => n + 1);
    void refresh();
  };
  const group = pickedGroup(filter, groups);
  const all = groups && selectionOf(filter, groups);
  const selection = picked.size > 0 ? pickedSelection(picked, filter) : all;
  const buttons = may && selection && selection.count > 0 && html`
    ${(selection.ids || !filter.replayed) && html`<${Button} onClick=${() => setDialog({ action: "replay", selection })}>Replay ${lettersOf(selection)}<//>`}
    <${Button} kind="danger-line" onClick=${() => setDialog({ action: "delete", selection })}>Delete ${lettersOf(selection)}<//>`;
  const narrowed = filter.reason || filter.endpoint_id || filter.from || filter.to;
  const empty = narrowed
    ? html`<${Empty} title="No letters like these"><p>Nothing that waits matches the filter.</p><//>`
    : html`<${Empty} title="No dead letters"><p>A message that cannot be stored, or that an endpoint did not take at any attempt, would be here with the reason, to be replayed once that is mended.</p><//>`;
  const newest = Math.max(0, ...(filter.error ? group ? [group] : [] : groups?.data ?? []).map((g) => g.example_id));
  const sentence = filter.error ? groupSentence(filter, group, endpoints) : groups ? groupsSentence(groups, endpoints) : undefined;
  return html`
    <${Section} title=${filter.error ? "A group of dead letters" : "Dead letters"} sentence=${sentence} state=${groups && groups.counted > 0 ? "fails" : "flows"} actions=${buttons}>
      <${LetterFilter} filter=${filter} endpoints=${endpoints} />
      <${Jobs} tenantId=${tenantId} again=${again} onChange=${changed} />
      ${!groups && html`<${ProblemView} problem=${problem} />`}
      ${filter.error && html`<p><${Button} kind="quiet" onClick=${() => setQuery({ error: "", reason: "", endpoint_id: "" }, { replace: false })}>All groups<//></p>`}
      ${groups && !filter.error && html`<div class=${state === "lost" ? "stale" : ""}><${GroupTable} tenantId=${tenantId} groups=${groups} endpoints=${endpoints} query=${query} empty=${empty} /></div>
        ${groups.truncated && html`<p class="muted note">The newest ${count(groups.counted)} were looked at; there are more.</p>`}`}
    <//>
    ${groups && (groups.counted > 0 || filter.error) && html`<${Section} title=${filter.error ? "Its letters" : "One by one"}>
      <${LetterList} tenantId=${tenantId} filter=${filter} newest=${newest} again=${again} endpoints=${endpoints} picked=${picked} onPick=${setPicked} mayPick=${may}
        empty=${html`<${Empty} title="No letters are left"><p>They were replayed or deleted.</p><//>`} /><//>`}
    ${dialog && html`<${LettersDialog} tenantId=${tenantId} action=${dialog.action} selection=${dialog.selection} endpoints=${[...endpoints.values()]}
      onDone=${() => { setPicked(new Map()); changed(); }} onClose=${() => setDialog(null)} />`}`;
}

function groupSentence(/** @type {Filter} */ f, /** @type {DeadLetterGroup | undefined} */ g, /** @type {Map<string, Endpoint>} */ endpoints) {
  if (!g) return `Nothing waits that was given up for ${f.error}.`;
  return `${counted(g.count, "letter")}: ${groupWords(g, endpoints)}, from ${clock(g.first)} to ${clock(g.last)}.`;
}
