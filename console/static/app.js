// @ts-check
// The console: which page is at which address, and who may see it.
import { asProblem, reach, session } from "./api.js";
import { AwayBar, Frame, Notice } from "./frame.js";
import { html, render, useEffect, useErrorBoundary, useState } from "./parts/html.js";
import { Button, ProblemView } from "./parts/basics.js";
import { Dialog } from "./parts/dialog.js";
import { forgetOutcomes, Outcomes } from "./parts/outcomes.js";
import { LoginForm, LoginPage } from "./pages/login.js";
import { beyondPortal, portalHome } from "./portal.js";
import { navigate, setRoutes, useRoute } from "./router.js";

/**
 * The pages: what is after a colon is in params. A page stays while its module and the
 * parameter id are the same, so that its sections may have addresses of their own.
 * @type {Record<string, () => Promise<{default: (props: {params: any, query: any}) => any}>>}
 */
const pages = {
  "/": () => import("./pages/overview.js"),
  "/tenants": () => import("./pages/tenants.js"),
  "/tenants/:id/endpoints": () => import("./pages/endpoints.js"),
  "/tenants/:id/endpoints/:endpoint_id": () => import("./pages/endpoint.js"),
  "/tenants/:id/dead-letters": () => import("./pages/dead-letters.js"),
  "/tenants/:id/dead-letters/:letter_id": () => import("./pages/dead-letter.js"),
  "/tenants/:id/keys": () => import("./pages/keys.js"),
  "/dead-letters": () => import("./pages/all-dead-letters.js"),
  "/fleet": () => import("./pages/fleet.js"),
  "/users": () => import("./pages/users.js"),
  "/audit": () => import("./pages/audit.js"),
  "/me": () => import("./pages/me.js"),
  "/tenants/:id": () => import("./pages/tenant-messages.js"),
  "/tenants/:id/messages": () => import("./pages/tenant-messages.js"),
  "/tenants/:id/messages/:message_id": () => import("./pages/tenant-message.js"),
  "/tenants/:id/usage": () => import("./pages/tenant-usage.js"),
  "/tenants/:id/connect": () => import("./pages/tenant-connect.js"),
};
setRoutes(Object.keys(pages));

/** Modules by how they are loaded, so that sections of a page are one. */
const loaded = new Map();

function App() {
  const [phase, setPhase] = useState(/** @type {"starting" | "login" | "ready" | "away"} */ ("starting"));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [ended, setEnded] = useState(false);
  const { path } = useRoute();
  const start = async () => {
    try {
      setPhase((await session.start()) ? "ready" : "login");
    } catch (error) {
      setProblem(asProblem(error));
      setPhase("away");
    }
  };
  useEffect(() => { void start(); }, []);
  useEffect(() => session.onEnded(() => {
    if (session.ended) setEnded(true);
    else {
      setEnded(false);
      setPhase("ready");
    }
  }), []);
  useEffect(() => (phase === "away" ? reach.on(() => { if (!reach.awaySince) void start(); }) : undefined), [phase]);
  const beyond = phase === "ready" && beyondPortal(path);
  useEffect(() => {
    if (beyond) navigate(portalHome(), { replace: true });
    else if (phase === "ready" && path === "/login") navigate("/", { replace: true });
  }, [phase, path, beyond]);
  useEffect(() => {
    forgetOutcomes();
    if (phase !== "ready") return;
    const head = /** @type {HTMLElement | null} */ (document.querySelector("h1"));
    if (head && document.activeElement === document.body) head.focus({ preventScroll: true });
  }, [path]);

  if (phase === "starting" || beyond) return html`<${Notice} alone><p class="muted" role="status">Loading</p><//>`;
  if (phase === "away") {
    return html`<${AwayBar} /><${Notice} alone title="Lanekeeper does not answer"><${ProblemView} problem=${problem} />
      <p>This page goes on by itself as soon as it does.</p><${Button} onClick=${start}>Try now<//><//>`;
  }
  if (phase === "login") {
    return session.portal ? html`<${Notice} alone title="This link has ended"><p>Go back to where you came from, and open it anew.</p><//>` : html`<${AwayBar} /><${LoginPage} />`;
  }
  return html`<${AwayBar} /><${Frame}><${Here} /><//><${Outcomes} />
    ${ended && html`<${Dialog} title="Your session has ended">
      ${session.portal ? html`<p>Go back to where you came from, and open it anew.</p>`
        : html`<p>Log in to go on: what you typed is still here.</p><${LoginForm} email=${session.user ? session.user.email : ""} />`}<//>`}`;
}

/** The page at this address. */
function Here() {
  const { path, pattern, params, query } = useRoute();
  const [page, setPage] = useState(/** @type {{pattern: string, component: any} | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (!pattern) return undefined;
    let left = false;
    setProblem(null);
    pages[pattern]().then((module) => {
      loaded.set(pattern, module.default);
      if (!left) setPage({ pattern, component: module.default });
    }, (error) => { if (!left) setProblem(asProblem(error)); });
    return () => { left = true; };
  }, [pattern]);
  if (!pattern) {
    if (path === "/login") return null;
    return html`<${Notice} title="There is no such page"><p><code>${path}</code> leads nowhere. <a href="/console/">Go to the overview</a>.</p><//>`;
  }
  if (problem) {
    return html`<${Notice} title="The page did not load"><${ProblemView} problem=${problem} />
      <${Button} onClick=${() => location.reload()}>Load again<//><//>`;
  }
  const Component = loaded.get(pattern) || (page && page.pattern === pattern && page.component);
  if (!Component) return null;
  return html`<${Guarded} key=${params.id || ""} ...${{ Component, params, query, path }} />`;
}

/** A page that failed takes nothing else with it. */
function Guarded({ Component, params, query, path }) {
  const [error, reset] = useErrorBoundary((/** @type {any} */ e) => console.error(e));
  useEffect(() => { if (error) reset(); }, [path]);
  if (error) {
    return html`<${Notice} title="This page failed"><${ProblemView} problem=${asProblem(error)} />
      <${Button} onClick=${reset}>Try again<//><//>`;
  }
  return html`<${Component} params=${params} query=${query} />`;
}

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
