// @ts-check
// The replays of an endpoint: the one that runs with its progress, and what became of the last.
import { api, session } from "../../api.js";
import { usePolled } from "../../live.js";
import { ProblemView, Time } from "../basics.js";
import { count, counted, duration } from "../format.js";
import { html } from "../html.js";
import { say } from "../outcomes.js";
import { requestOf, useAction } from "./action.js";
import { Progress } from "./progress.js";
import { Section } from "./section.js";

/** @typedef {import("../../types/api").Replay} Replay */

/** @param {{path: string}} props */
export function Replays({ path }) {
  const { data, refresh } = usePolled((signal) => api.get(`${path}/replays`, { signal }).then((answer) => /** @type {Replay[]} */ (answer.data.data)), [path]);
  const { busy, problem, run } = useAction();
  const [last] = data ?? [];
  if (!last) return null;
  const cancel = async () => {
    const answer = await run("cancel", () => api.del(`${path}/replays/${last.id}`));
    if (!answer) return;
    say({ text: `The replay is canceled after ${count(answer.data.done)} of ${counted(answer.data.total, "message")}. What has begun goes on.`, tone: "waits", requestId: requestOf(answer) });
    await refresh();
  };
  const range = `messages ${count(last.from_seq)} to ${count(last.to_seq)}${last.only === "failed" ? " that were given up" : ""}`;
  if (last.state === "running") {
    const left = Math.max(0, last.total - last.done) / last.rate;
    return html`<${Section} title="Replay">
      <${Progress} label=${`Delivering ${counted(last.total, "message")} again: ${range}`} done=${last.done} total=${last.total}
        note=${`${count(last.rate)}/s at most, ${duration(Math.ceil(left))} left`} canceling=${busy !== ""} onCancel=${session.may("manage") ? cancel : undefined} />
      <${ProblemView} problem=${problem} /><//>`;
  }
  const how = last.state === "done" ? `${count(last.done)} delivered again, or tried again as others are` : `canceled after ${count(last.done)} of ${count(last.total)}`;
  return html`<p class="muted note">The last replay, ${range}, ended <${Time} at=${last.ended_at} />: ${how}.</p>`;
}
