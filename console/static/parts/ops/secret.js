// @ts-check
// What is shown once: a signing secret, an API key.

import { Button, Copy } from "../basics.js";
import { html } from "../html.js";
import { Dialog } from "../dialog.js";

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} props.text the secret
 * @param {string} props.what what it is, in a sentence
 * @param {() => void} props.onClose
 * @param {unknown} [props.children] what to do with it
 */
export function ShownOnce({ title, text, what, onClose, children }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${what} It is shown this once: copy it now.</p>
    <div class="secret">
      <code tabindex="0">${text}</code>
      <${Copy} text=${text} />
    </div>
    ${children}
    <footer>
      <${Button} kind="primary" onClick=${onClose}>I have copied it<//>
    </footer>
  <//>`;
}
