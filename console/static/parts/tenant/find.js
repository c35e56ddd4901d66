// @ts-check
// Finds a message by what is known of it: its seq, its id, or the message id that an AMQP
// client gave it.

import { api } from "../../api.js";
import { navigate, setQuery } from "../../router.js";
import { html, useState } from "../html.js";
import { messageHref } from "./messages-table.js";

const uuid = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** @param {{tenantId: string}} props */
export function Find({ tenantId }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [said, say] = useState("");

  /** @param {Event} e */
  const find = async (e) => {
    e.preventDefault();
    const wanted = text.trim().replace(/^#/, "");
    const seq = wanted.replaceAll(",", "");
    if (wanted === "" || busy) return;
    say("");
    if (/^[1-9]\d{0,17}$/.test(seq)) return setQuery({ after: null, before: String(BigInt(seq) + 1n) }, { replace: false });
    setBusy(true);
    try {
      const path = uuid.test(wanted) ? `/messages/${encodeURIComponent(wanted)}` : `/messages/by-message-id/${encodeURIComponent(wanted)}`;
      const { data } = await api.get(path, { tenant: tenantId });
      navigate(messageHref(tenantId, data.id));
    } catch (problem) {
      const status = /** @type {any} */ (problem).status;
      if (status === 404 && uuid.test(wanted)) navigate(messageHref(tenantId, wanted)); // its page explains where it is
      else say(status === 404 ? "No message with this id." : /** @type {any} */ (problem).detail);
    } finally {
      setBusy(false);
    }
  };

  return html`<form class="find-message" role="search" onSubmit=${find}>
    <input type="search" aria-label="Find a message by seq or id" placeholder="Seq or message id" value=${text} spellcheck=${false}
      aria-busy=${busy} onInput=${(/** @type {any} */ e) => (setText(e.currentTarget.value), say(""))} />
    <span class="find-said" role="status">${said}</span>
  </form>`;
}
