// @ts-check
// Jobs about dead letters: the one that runs, with its progress, and a line when it ends.
import { api, session } from "../../api.js";
import { usePolled } from "../../live.js";
import { ProblemView, Time } from "../basics.js";
import { count, counted } from "../format.js";
import { html, useEffect, useRef } from "../html.js";
import { say } from "../outcomes.js";
import { requestOf, useAction } from "./action.js";
import { Progress } from "./progress.js";

/** @typedef {import("../../types/api").DeadLetterJob} Job */

/** What became of a job, in a sentence. */
export function jobSentence(/** @type {Job} */ j) {
  const did = j.action === "replay" ? "replayed" : "deleted";
  const skipped = j.skipped > 0 ? `, ${count(j.skipped)} skipped` : "";
  if (j.state === "done") return `${counted(j.done - j.skipped, "letter")} ${did}${skipped}.`;
  return `Canceled after ${count(j.done)} of ${counted(j.total, "letter")}: ${count(j.done - j.skipped)} ${did}${skipped}.`;
}

/**
 * @param {{tenantId: string, again: number, onChange: () => void}} props again changes when a job may
 *   have begun; onChange is called while one changes letters
 */
export function Jobs({ tenantId, again, onChange }) {
  const { data, refresh } = usePolled((signal) => api.get("/dead-letters/jobs", { tenant: tenantId, signal }).then((answer) => /** @type {Job[]} */ (answer.data.data)), [tenantId, again]);
  const { busy, problem, run } = useAction();
  const seen = useRef("");
  const [last] = data ?? [];
  useEffect(() => {
    if (!last) return;
    if (last.state === "running") {
      seen.current = last.job_id;
      onChange();
    } else if (seen.current === last.job_id) {
      seen.current = "";
      say({ text: jobSentence(last), tone: last.state === "done" ? "done" : "waits" });
      onChange();
    }
  }, [last?.job_id, last?.state, last?.done]);
  if (!last) return null;
  if (last.state !== "running") return html`<p class="muted note">The last job ended <${Time} at=${last.ended_at} />: ${jobSentence(last)}</p>`;
  const cancel = async () => {
    const answer = await run("cancel", () => api.del(`/dead-letters/jobs/${last.job_id}`, { tenant: tenantId }));
    if (!answer) return;
    seen.current = "";
    say({ text: jobSentence(answer.data), tone: "waits", requestId: requestOf(answer) });
    await refresh();
  };
  return html`
    <${Progress} label=${`${last.action === "replay" ? "Replaying" : "Deleting"} ${counted(last.total, "letter")}`} done=${last.done} total=${last.total}
      note=${last.waits_for || (last.skipped > 0 ? `${count(last.skipped)} skipped so far` : "")} canceling=${busy !== ""} onCancel=${session.may("manage") ? cancel : undefined} />
    <${ProblemView} problem=${problem} />`;
}
