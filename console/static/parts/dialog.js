// @ts-check
// Dialogs: the browser's own, which keep the focus in and give it back.
import { asProblem } from "../problem.js";
import { Button, Copy, Field, ProblemView } from "./basics.js";
import { html, useEffect, useId, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";

/**
 * A dialog over the page. Escape and the cross call onClose; without onClose it stays.
 * @param {{title: any, onClose?: () => void, children?: any, wide?: boolean}} props
 */
export function Dialog({ title, onClose = undefined, children, wide = false }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    const dialog = /** @type {HTMLDialogElement} */ (ref.current);
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    dialog.showModal();
    const first = /** @type {HTMLElement | null} */ (dialog.querySelector("[autofocus]") || dialog.querySelector("input, select, textarea"));
    if (first) first.focus();
    return () => {
      dialog.close();
      if (before && before.isConnected) before.focus();
    };
  }, []);
  const cancel = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (onClose) onClose();
  };
  const outside = (/** @type {MouseEvent} */ event) => {
    // A click beside the dialog is one on its backdrop; what was typed is not thrown away.
    const dialog = ref.current;
    if (event.target === dialog && onClose && dialog && !dialog.querySelector("input, textarea, select")) onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel} onMouseDown=${outside}>
    <div class="dialog"><header><h2 id=${id}>${title}</h2>
      ${onClose && html`<button type="button" class="icon-button" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>`}
    </header>${children}</div></dialog>`;
}

/**
 * Asks before something is done. typed is a text that has to be typed; onConfirm may return
 * a promise: the dialog shows that it is under way, and what the Problem says when it fails,
 * and calls onClose when it is done.
 */
export function ConfirmDialog({ title, sentence, typed = undefined, action, kind = "danger", onConfirm, onClose, children = undefined }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const ready = typed === undefined || text.normalize() === String(typed).normalize();
  const confirm = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setProblem(null);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${confirm} class="form">
      <p>${sentence}</p>
      ${children}
      ${typed !== undefined && html`
        <p class="typed">Type <strong class="name">${typed}</strong> <${Copy} text=${typed} label="Copy the name" /> to confirm.</p>
        <${Field} label="Name"><input autocomplete="off" spellcheck=${false} value=${text}
          onInput=${(/** @type {any} */ e) => setText(e.target.value)} /><//>`}
      <${ProblemView} problem=${problem} />
      <footer><${Button} onClick=${onClose}>Cancel<//>
        <${Button} kind=${kind} type="submit" busy=${busy} disabled=${!ready}>${action}<//></footer>
    </form><//>`;
}
