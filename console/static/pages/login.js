// @ts-check
import { asProblem, session } from "../api.js";
import { Button, Field, ProblemView } from "../parts/basics.js";
import { html, useEffect, useRef, useState } from "../parts/html.js";

/** Email and password; also over a page whose session has ended. */
export function LoginForm({ email = "" }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  useEffect(() => {
    const first = form.current && /** @type {HTMLElement | null} */ (form.current.querySelector(email ? "[type=password]" : "[type=email]"));
    if (first) first.focus();
  }, []);
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    if (busy) return;
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await session.login(String(fields.get("email")), String(fields.get("password")));
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return html`<form class="form" ref=${form} onSubmit=${submit}>
    <${Field} label="Email" pointer="/email" problem=${problem}><input name="email" type="email" autocomplete="username" required defaultValue=${email} /><//>
    <${Field} label="Password" pointer="/password" problem=${problem}><input name="password" type="password" autocomplete="current-password" required autofocus=${email !== ""} /><//>
    <${ProblemView} problem=${problem} />
    <footer><${Button} kind="primary" type="submit" busy=${busy}>Log in<//></footer>
  </form>`;
}

/** The page before all others. */
export function LoginPage() {
  useEffect(() => { document.title = "Log in · Lanekeeper"; }, []);
  return html`<main class="login"><div class="login-box">
    <svg class="mark" viewBox="0 0 20 20" width="32" height="32" aria-hidden="true"><path d="M3 5.5h8M3 10h14M3 14.5h5" /></svg>
    <h1>Log in to Lanekeeper</h1>
    <${LoginForm} />
    <p class="hint">An admin makes accounts: <code>lanekeeper user add</code></p>
  </div></main>`;
}
