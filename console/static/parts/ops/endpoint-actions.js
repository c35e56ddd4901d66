// @ts-check
// What can be done with an endpoint, each with what it will do and a line of what it did.
import { api } from "../../api.js";
import { Button, Field, ProblemView } from "../basics.js";
import { ConfirmDialog, Dialog } from "../dialog.js";
import { count, counted, visible } from "../format.js";
import { html, useState } from "../html.js";
import { say } from "../outcomes.js";
import { requestOf, useAction } from "./action.js";
import { ShownOnce } from "./secret.js";
import { clock, shortURL } from "./words.js";

/** @typedef {import("../../types/api").Endpoint} Endpoint */

/** @param {Endpoint} e */
export const pathOf = (e) => `/tenants/${e.tenant_id}/endpoints/${e.id}`;

/**
 * What an endpoint answered to a test, in a sentence.
 * @param {import("../../types/api").EndpointTest} t
 */
function tested(t) {
  const answer = t.answer ? ` It said: ${visible(t.answer.slice(0, 200))}` : "";
  if (t.error === "") return `The test arrived: status ${t.status} in ${count(t.duration_ms)} ms.${answer}`;
  return `The test did not arrive: ${t.error}, after ${count(t.duration_ms)} ms.${answer}`;
}

/** Has an endpoint hold, and says so; undone by resuming. */
async function hold(/** @type {Endpoint} */ e, /** @type {() => void} */ refresh) {
  const answer = await api.post(`${pathOf(e)}/hold`);
  const undo = () => resume(e, refresh);
  say({ text: `${shortURL(e.url)} is held with ${count(answer.data.lag)} behind. Nothing is delivered until it is resumed.`, requestId: requestOf(answer), undo });
  refresh();
}

/** Has an endpoint go on, and says so; undone by holding. */
async function resume(/** @type {Endpoint} */ e, /** @type {() => void} */ refresh) {
  const answer = await api.post(`${pathOf(e)}/resume`);
  const lag = answer.data.lag;
  const what = lag === 0 ? "nothing waits" : `${counted(lag, "message is", "messages are")} delivered now`;
  say({ text: `${shortURL(e.url)} is resumed: ${what}.`, requestId: requestOf(answer), undo: () => hold(e, refresh) });
  refresh();
}

/**
 * The calls that need no further questions.
 * @param {() => void} refresh
 */
export function useEndpointCalls(refresh) {
  const action = useAction();
  return {
    busy: action.busy,
    problem: action.problem,
    hold: (/** @type {Endpoint} */ e) => action.run("hold", () => hold(e, refresh)),
    resume: (/** @type {Endpoint} */ e) => action.run("resume", () => resume(e, refresh)),
    test: (/** @type {Endpoint} */ e) =>
      action.run("test", async () => {
        const answer = await api.post(`${pathOf(e)}/test`);
        say({ text: tested(answer.data), tone: answer.data.error === "" ? "done" : "fails", requestId: requestOf(answer) });
      }),
  };
}

/**
 * Gives up the message that an endpoint is stuck at.
 * @param {{endpoint: Endpoint, onDone: () => void, onClose: () => void}} props
 */
export function SkipDialog({ endpoint, onDone, onClose }) {
  const skip = async () => {
    const answer = await api.post(`${pathOf(endpoint)}/skip`);
    const { seq, attempts, id } = answer.data;
    say({ text: `Message ${count(seq)} is given up after ${counted(attempts, "attempt")}. It is dead letter ${id}, which can be replayed.`, requestId: requestOf(answer) });
    onDone();
  };
  const behind = Math.max(0, endpoint.lag - 1);
  return html`<${ConfirmDialog} title="Skip the message it is stuck at?" action="Skip 1 message" onConfirm=${skip} onClose=${onClose}
    sentence=${`The message that failed is given up and becomes a dead letter. The ${counted(behind, "message")} behind it ${behind === 1 ? "goes" : "go"} on.`} />`;
}

/**
 * Deletes an endpoint, which has to be typed when it has not got everything.
 * @param {{endpoint: Endpoint, onDone: () => void, onClose: () => void}} props
 */
export function DeleteDialog({ endpoint, onDone, onClose }) {
  const host = shortURL(endpoint.url);
  const lag = endpoint.lag;
  const lost = lag === 0 ? "It has got everything." : `${counted(lag, "message")} that it has not got ${lag === 1 ? "does" : "do"} not go there any more.`;
  const remove = async () => {
    const answer = await api.del(pathOf(endpoint));
    const open = Number(answer.headers.get("Lanekeeper-Open") ?? lag);
    say({ text: `${host} is deleted. It had not got ${counted(open, "message")}.`, requestId: requestOf(answer) });
    onDone();
  };
  return html`<${ConfirmDialog} title="Delete this endpoint?" typed=${lag > 0 ? host : undefined} action="Delete endpoint" onConfirm=${remove} onClose=${onClose}
    sentence=${`Deliveries to ${host} end for good. ${lost} The messages stay in the history, and its dead letters stay.`} />`;
}

/**
 * Gives an endpoint another signing secret, and shows it.
 * @param {{endpoint: Endpoint, onDone: () => void, onClose: () => void}} props
 */
export function RotateDialog({ endpoint, onDone, onClose }) {
  const { busy, problem, run } = useAction();
  const [grace, setGrace] = useState("24h");
  const [made, setMade] = useState("");
  const rotate = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const answer = await run("rotate", () => api.post(`${pathOf(endpoint)}/rotate-secret`, { grace: grace.trim() || "0s" }));
    if (!answer) return;
    const until = answer.data.old_secret_until;
    const before = until ? `The one before signs along until ${clock(until)}.` : "The one before has ended.";
    say({ text: `The secret of ${shortURL(endpoint.url)} is rotated. ${before}`, requestId: requestOf(answer) });
    setMade(answer.data.secret);
    onDone();
  };
  if (made) {
    return html`<${ShownOnce} key="made" title="The new signing secret" text=${made} what="Receivers verify what is delivered with it." onClose=${onClose} />`;
  }
  return html`<${Dialog} key="ask" title="Rotate the signing secret" onClose=${onClose}>
    <form class="form" onSubmit=${rotate}>
      <p>A new secret is made. While the grace lasts, deliveries carry two signatures, with the new secret and with the one before, so that receivers can change without a gap.</p>
      <${Field} label="Grace" hint="From 0s to 168h" pointer="/grace" problem=${problem}>
        <input name="grace" value=${grace} onInput=${(/** @type {any} */ event) => setGrace(event.target.value)} />
      <//>
      <${ProblemView} problem=${problem} />
      <footer><${Button} onClick=${onClose}>Cancel<//>
        <${Button} kind="primary" type="submit" busy=${busy !== ""}>Rotate secret<//></footer>
    </form>
  <//>`;
}
