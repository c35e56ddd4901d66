// @ts-check
// One message: what it says, what came with it, and what became of it at each endpoint.

import { api, session } from "../api.js";
import { usePolled } from "../live.js";
import { Button, Copy, Empty, ProblemView, ShortId, Time } from "../parts/basics.js";
import { count } from "../parts/format.js";
import { html, useCallback, useMemo, useRef, useState } from "../parts/html.js";
import { JsonView } from "../parts/json.js";
import { say, sayProblem } from "../parts/outcomes.js";
import { Attempts } from "../parts/tenant/attempts.js";
import { Deliveries } from "../parts/tenant/deliveries.js";
import { TenantPage } from "../parts/tenant/frame.js";
import { Help } from "../parts/tenant/help.js";
import { messageHref } from "../parts/tenant/messages-table.js";
import { extra } from "../parts/tenant/state.js";
import { Link, navigate } from "../router.js";

/** @typedef {import("../parts/tenant/types.js").MessageDetail} Message */

/** How often what becomes of the message is asked for, in ms: with each answer comes its payload. */
const soon = 2000;
const late = 15000;

/** @param {{params: {id: string, message_id: string}}} props */
export default function Page({ params }) {
  return html`<${TenantPage} key=${params.id} id=${params.id} tab="messages">
    ${() => html`<${MessagePage} key=${params.message_id} tenantId=${params.id} id=${params.message_id} />`}
  <//>`;
}

/** @param {{tenantId: string, id: string}} props */
function MessagePage({ tenantId, id }) {
  const at = `/messages/${encodeURIComponent(id)}`;
  /** What was read last, and when. */
  const last = useRef(/** @type {{at: number, read: any} | null} */ (null));
  const { data, problem, refresh } = usePolled(async (signal) => {
    if (last.current && settled(last.current.read.message) && Date.now() - last.current.at < late) return last.current.read;
    const [message, endpoints, explained] = await Promise.all([
      api.get(at, { tenant: tenantId, signal }).then((a) => /** @type {Message} */ (a.data), (e) => (e.status === 404 ? null : Promise.reject(e))),
      extra("endpoints", `/tenants/${encodeURIComponent(tenantId)}/endpoints`, { signal }),
      extra("explain message", `${at}/explain`, { tenant: tenantId, signal }),
    ]);
    const read = { message, endpoints: endpoints?.data ?? [], explained };
    last.current = { at: Date.now(), read };
    return read;
  }, [tenantId, id], { every: soon });
  const resend = useCallback(async (/** @type {string} */ endpoint, /** @type {string} */ name) => {
    try {
      const answer = await api.post(`${at}/endpoints/${encodeURIComponent(endpoint)}/resend`, undefined, { tenant: tenantId });
      say({ text: html`It is on its way to <span class="name">${name}</span> once more.`, requestId: answer.headers.get("X-Request-ID") ?? "" });
      last.current = null;
      await refresh();
    } catch (e) {
      sayProblem(e, `Not sent again to ${name}`);
    }
  }, [at, tenantId, refresh]);

  if (!data) return problem ? html`<${ProblemView} problem=${problem} />` : html`<p class="muted" aria-busy="true">Loading …</p>`;
  const { message, endpoints, explained } = data;
  if (!message) return html`<${Unknown} tenantId=${tenantId} id=${id} explained=${explained} />`;
  const tried = (message.deliveries ?? []).reduce((sum, d) => sum + d.attempts, 0);
  const names = new Map(endpoints.map((/** @type {any} */ e) => [e.id, e.description || e.url]));
  return html`<article class="message" aria-label="Message">
    <${Head} tenantId=${tenantId} message=${message} />
    ${explained && html`<${Explained} explained=${explained} />`}
    ${problem && html`<${ProblemView} problem=${problem} />`}
    <div class="message-body">
      <${Payload} message=${message} />
      <${Envelope} message=${message} />
    </div>
    <${Deliveries} tenantId=${tenantId} deliveries=${message.deliveries ?? []} endpoints=${endpoints} mayResend=${session.may("manage")} resend=${resend} />
    <${Attempts} tenantId=${tenantId} path=${`${at}/attempts`} names=${names} round=${tried} />
  </article>`;
}

/** Whether little will happen to it, or it is too large to be read again and again. @param {Message | null} message */
function settled(message) {
  return message !== null && ((message.deliveries ?? []).every((d) => d.state !== "pending" && d.state !== "retrying") || sizeOf(message) > 64 * 1024);
}

/** How many bytes the payload has, about as it is stored. */
const sizes = new WeakMap();
/** @param {Message} message @returns {number} */
function sizeOf(message) {
  let size = sizes.get(message);
  if (size === undefined) sizes.set(message, (size = new Blob([JSON.stringify(message.payload)]).size));
  return size;
}

/** @param {{tenantId: string, message: Message}} props */
function Head({ tenantId, message }) {
  const [busy, setBusy] = useState("");
  /** @param {"asc" | "desc"} order */
  const step = async (order) => {
    setBusy(order);
    try {
      const { data } = await api.get("/messages", { tenant: tenantId, query: { cursor: message.seq, order, limit: 1 } });
      if (data.data.length > 0) navigate(messageHref(tenantId, data.data[0].id));
      else say({ text: order === "asc" ? "This is the newest message." : "This is the oldest message that is kept.", tone: "waits" });
    } catch (e) {
      sayProblem(e);
    } finally {
      setBusy("");
    }
  };
  return html`<header class="message-head">
    <h2>Message ${count(message.seq)}</h2>
    <span class="muted">stored <${Time} at=${message.created_at} /></span>
    <span class="push"></span>
    <${Link} class="button quiet" href=${`/tenants/${encodeURIComponent(tenantId)}/messages?before=${message.seq + 1}`}><span>In the history</span><//>
    <${Button} busy=${busy === "asc"} onClick=${() => step("asc")}>Newer<//>
    <${Button} busy=${busy === "desc"} disabled=${message.seq <= 1} onClick=${() => step("desc")}>Older<//>
  </header>`;
}

/** The payload is read again only when it is another one: it may be 1 MiB. @param {{message: Message}} props */
function Payload({ message }) {
  const view = useMemo(() => {
    return html`<${JsonView} value=${message.payload} bytes=${sizeOf(message)} label="Payload" />`;
  }, [message.id]);
  return view;
}

/** @param {{message: Message}} props */
function Envelope({ message }) {
  const headers = Object.entries(message.headers ?? {});
  /** @param {string} name @param {any} value */
  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const none = html`<span class="muted">none</span>`;
  return html`<section class="envelope" aria-label="Envelope"><h3>Envelope</h3><dl class="facts">
    ${fact("Id", html`<${Copy} text=${message.id} label="Copy the id" className="id"><code>${message.id}</code><//>`)}
    ${fact("Type", message.type ? html`<bdi>${message.type}</bdi>` : none)}
    ${fact("Ordering key", message.ordering_key ? html`<bdi>${message.ordering_key}</bdi>` : none)}
    ${message.trace_id && fact("Trace", html`<${Copy} text=${message.trace_id} label="Copy the trace id" className="id"><code>${message.trace_id}</code><//>`)}
    ${fact("Headers", headers.length === 0 ? none : html`<ul class="header-list">${headers.map(([name, text]) => html`
      <li key=${name}><code>${name}</code> <bdi>${text}</bdi></li>`)}</ul>`)}
  </dl></section>`;
}

/** @param {{explained: import("../parts/tenant/types.js").Explanation}} props */
function Explained({ explained }) {
  return html`<div class="explained" data-state=${explained.state}><p>${explained.sentence}</p><${Help} explained=${explained} /></div>`;
}

/** @param {{tenantId: string, id: string, explained: import("../parts/tenant/types.js").Explanation | null}} props */
function Unknown({ tenantId, id, explained }) {
  return html`<${Empty} title=${explained && explained.state !== "unknown" ? "Not stored yet" : "No such message"}>
    <p>${explained ? explained.sentence : "There is no message with this id in the history: it may wait in the queue, be a dead letter, or not be kept any longer."}</p>
    ${explained && html`<${Help} explained=${explained} />`}
    <p>Id: <${ShortId} id=${id} /> · <${Link} href=${`/tenants/${encodeURIComponent(tenantId)}/dead-letters`}>Dead letters<//> · <${Link} href=${`/tenants/${encodeURIComponent(tenantId)}/messages`}>Messages<//></p>
  <//>`;
}
