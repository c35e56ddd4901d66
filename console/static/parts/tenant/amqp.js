// @ts-check
// The AMQP credentials of a tenant: issued, rotated and revoked.

import { api, asProblem } from "../../api.js";
import { Button, Copy, ProblemView, Time } from "../basics.js";
import { ConfirmDialog } from "../dialog.js";
import { html, useEffect, useState } from "../html.js";
import { say } from "../outcomes.js";

/**
 * @typedef {object} Credentials
 * @property {string} url
 * @property {string} vhost
 * @property {string} username
 * @property {string} [password] only just after they were made
 * @property {string} exchange
 * @property {string} routing_key
 * @property {string} issued_at
 */

/**
 * @typedef {"loading" | "none" | "off" | "there" | "unknown"} Standing none: may be issued; off:
 * the service manages no users of the broker
 */

/** The code of a service that manages no users of the broker: it says so when it is to make one. */
const notConfigured = "amqp_not_configured";

/** Reads the credentials of a tenant, and keeps them. @param {string} tenantId @param {boolean} may */
export function useCredentials(tenantId, may) {
  const [shown, show] = useState({ standing: /** @type {Standing} */ ("loading"), credentials: /** @type {Credentials | null} */ (null), problem: /** @type {any} */ (null) });
  const path = `/tenants/${encodeURIComponent(tenantId)}/amqp-credentials`;
  useEffect(() => {
    if (!may) return undefined;
    const end = new AbortController();
    api.get(path, { signal: end.signal }).then(
      ({ data }) => show({ standing: "there", credentials: data, problem: null }),
      (error) => {
        if (end.signal.aborted) return;
        const problem = asProblem(error);
        const standing = problem.code === "amqp_credentials_not_found" ? "none" : problem.code === notConfigured ? "off" : "unknown";
        show({ standing, credentials: null, problem: standing === "unknown" ? problem : null });
      });
    return () => end.abort();
  }, [path, may]);
  return { ...shown, path, off: () => show({ standing: "off", credentials: null, problem: null }), set: (/** @type {Credentials | null} */ c) => show({ standing: c ? "there" : "none", credentials: c, problem: null }) };
}

/** @param {{amqp: ReturnType<typeof useCredentials>}} props */
export function AMQPCredentials({ amqp }) {
  const [asking, ask] = useState("");
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const { credentials, standing } = amqp;

  const issue = async () => {
    const answer = await api.post(amqp.path);
    amqp.set(answer.data);
    say({ text: "AMQP credentials were issued. The password is shown this once.", requestId: answer.headers.get("X-Request-ID") ?? "" });
  };
  const first = async () => {
    setBusy(true);
    setProblem(null);
    await issue().catch((e) => {
      const p = asProblem(e);
      if (p.code === notConfigured) amqp.off();
      else setProblem(p);
    });
    setBusy(false);
  };
  const revoke = async () => {
    const answer = await api.del(amqp.path);
    amqp.set(null);
    say({ text: "AMQP credentials were revoked, and the connections with them ended.", requestId: answer.headers.get("X-Request-ID") ?? "" });
  };
  const close = () => ask("");

  return html`<section class="amqp" aria-label="AMQP credentials"><h2>AMQP credentials</h2>
    ${standing === "loading" && html`<p class="muted">Loading …</p>`}
    ${standing === "off" && html`<p class="muted">This service issues none: its operator has not set <code>rabbitmq.management_url</code>.</p>`}
    ${standing === "unknown" && html`<${ProblemView} problem=${amqp.problem} />`}
    ${standing === "none" && html`<p>None yet. A user of the broker who may publish to this tenant and do nothing else.</p>
      <p><${Button} kind="primary" busy=${busy} onClick=${first}>Issue credentials<//></p>`}
    ${problem && html`<${ProblemView} problem=${problem} />`}
    ${credentials && html`
      ${credentials.password && html`<${Password} credentials=${credentials} />`}
      <dl class="facts">
        ${fact("URL", credentials.url)}${fact("Virtual host", credentials.vhost)}${fact("User", credentials.username)}
        ${fact("Exchange", credentials.exchange)}
        <div><dt>Routing key</dt><dd class="muted">any; it makes no difference</dd></div>
        <div><dt>Issued</dt><dd><${Time} at=${credentials.issued_at} /></dd></div>
      </dl>
      <div class="list-buttons"><${Button} onClick=${() => ask("rotate")}>Rotate<//><${Button} kind="danger" onClick=${() => ask("revoke")}>Revoke<//></div>`}
    ${asking === "rotate" && html`<${ConfirmDialog} title="Rotate the AMQP credentials" action="Rotate" kind="primary" onConfirm=${issue} onClose=${close}
      sentence="This makes another password, and ends the connections that there are: clients that know only the old one publish nothing from then on." />`}
    ${asking === "revoke" && html`<${ConfirmDialog} title="Revoke the AMQP credentials" action="Revoke" onConfirm=${revoke} onClose=${close}
      sentence="This deletes the user of the broker and ends its connections. What it published before is stored." />`}
  </section>`;
}

/** A fact that can be copied. @param {string} name @param {string} text */
export function fact(name, text) {
  return html`<div><dt>${name}</dt><dd><${Copy} text=${text} label=${`Copy: ${name}`} className="id"><code>${text}</code><//></dd></div>`;
}

/** The password, which is nowhere else. @param {{credentials: Credentials}} props */
function Password({ credentials: c }) {
  const password = c.password ?? "";
  const url = c.url.replace("://", `://${encodeURIComponent(c.username)}:${encodeURIComponent(password)}@`);
  return html`<div class="once" role="status">
    <p>The password, which is shown this once: store it now.</p>
    <p><${Copy} text=${password} label="Copy the password" className="id"><code>${password}</code><//></p>
    <p><${Copy} text=${url} label="Copy the URL with user and password">Copy the URL with it<//></p>
  </div>`;
}
