// @ts-check
// Asks before letters are replayed or deleted, with the number, and shows how far it is.
import { Button, ProblemView } from "../basics.js";
import { Dialog } from "../dialog.js";
import { count, counted } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { say } from "../outcomes.js";
import { useAction } from "./action.js";
import { act, atOnce, byFilter, lettersOf, replaySentence } from "./letters.js";
import { Progress } from "./progress.js";

/** @typedef {import("./letters.js").Selection} Selection */

/** What became of it, in a sentence. */
function outcome(/** @type {"replay" | "delete"} */ action, /** @type {import("./letters.js").Result} */ r, /** @type {boolean} */ stopped) {
  const did = action === "replay" ? "replayed" : "deleted";
  if (r.jobTotal !== null) return `${counted(r.jobTotal, "letter")} ${r.jobTotal === 1 ? "is" : "are"} being ${did}: the job goes on by itself.`;
  const skipped = r.skipped === 0 ? "" : action === "replay" ? `, ${count(r.skipped)} skipped: they were replayed before, have nowhere to go, or were not through in time` : `, ${count(r.skipped)} were gone`;
  return `${counted(r.done, "letter")} ${did}${skipped}${stopped ? ", then it was stopped" : ""}.`;
}

/**
 * @param {object} props
 * @param {string} props.tenantId
 * @param {"replay" | "delete"} props.action
 * @param {Selection} props.selection
 * @param {import("../../types/api").Endpoint[]} props.endpoints
 * @param {() => void} props.onDone
 * @param {() => void} props.onClose
 */
export function LettersDialog({ tenantId, action, selection, endpoints, onDone, onClose }) {
  const { busy, problem, run } = useAction();
  const [done, setDone] = useState(0);
  const [began] = useState(selection); // what is read does not change while the list does
  const stop = useRef(new AbortController());
  const [stopping, setStopping] = useState(false);
  const [whole, setWhole] = useState(/** @type {boolean | null} */ (null));
  useEffect(() => {
    void run("count", () => byFilter(tenantId, action, began)).then((answer) => setWhole(answer ?? false));
  }, []);
  const confirm = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const result = await run(action, () => act(tenantId, action, began, { whole: whole === true, onProgress: setDone, signal: stop.current.signal }));
    if (!result) {
      if (done > 0) onDone();
      return;
    }
    say({ text: outcome(action, result, stop.current.signal.aborted), tone: result.skipped > 0 && result.done === 0 ? "waits" : "done", requestId: result.requestId });
    onDone();
    onClose();
  };
  const cancel = () => {
    stop.current.abort();
    setStopping(true);
  };
  const batched = whole === false && began.count > atOnce;
  const asking = busy === "count" || whole === null;
  return html`<${Dialog} title=${action === "replay" ? "Replay dead letters?" : "Delete dead letters?"} onClose=${busy === action ? undefined : onClose}>
    <form class="form" onSubmit=${confirm}>
      <p>${action === "replay" ? replaySentence(began, endpoints) : deleteSentence(began, whole === true)}</p>
      ${began.count > atOnce && !asking && html`<p class="muted">${batched ? `That is done ${count(atOnce)} at a time from this page: keep it open.` : "More than 1,000 letters become a job, which goes on by itself and can be canceled."}</p>`}
      ${busy === action && batched && html`<${Progress} label=${action === "replay" ? "Replaying" : "Deleting"} done=${done} total=${began.count} canceling=${stopping} onCancel=${cancel} />`}
      <${ProblemView} problem=${problem} />
      <footer><${Button} disabled=${busy === action} onClick=${onClose}>Cancel<//>
        <${Button} kind=${action === "replay" ? "primary" : "danger"} type="submit" busy=${busy === action} disabled=${asking}>${action === "replay" ? "Replay" : "Delete"} ${lettersOf(began)}<//></footer>
    </form>
  <//>`;
}

/** What deleting will do, with the number in it. */
function deleteSentence(/** @type {Selection} */ s, /** @type {boolean} */ whole) {
  const stored = [...s.parts.keys()].some((id) => id !== "") ? " Messages that an endpoint did not take stay in the history." : "";
  const replayed = whole && s.more ? " Those like them that were replayed already go, too." : "";
  return `Delete ${lettersOf(s)} for good: there is no way back.${replayed}${stored}`;
}
