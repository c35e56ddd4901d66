// @ts-check
// The head of a page: what it is, the sentence that answers its question, what can be done.
import { useHealth } from "../live.js";
import { Link } from "../router.js";
import { Age } from "./basics.js";
import { clockTime } from "./format.js";
import { html, useEffect } from "./html.js";

const words = { live: "Live", late: "Late", lost: "Lost", loading: "Loading" };

/**
 * @param {{title: any, sentence?: any, state?: string, actions?: any, crumbs?: {href: string, label: any}[], name?: string}} props
 *   state colours a dot before the sentence; name is the title for the window, where title is no text
 */
export function PageHead({ title, sentence = undefined, state = undefined, actions = undefined, crumbs = [], name = undefined }) {
  const called = name ?? (typeof title === "string" ? title : "");
  useEffect(() => { document.title = called ? `${called} · Lanekeeper` : "Lanekeeper"; }, [called]);
  return html`<header class="page-head">
    ${crumbs.length > 0 && html`<div class="page-top">
      <nav class="crumbs" aria-label="Where this is">${crumbs.map((crumb) => html`<span key=${crumb.href}><${Link} href=${crumb.href}>${crumb.label}<//><span aria-hidden="true"> / </span></span>`)}</nav></div>`}
    <div class="page-line"><h1 tabindex="-1" class="name">${title}</h1><${LiveDot} />${actions && html`<div class="page-actions">${actions}</div>`}</div>
    ${sentence !== undefined && html`<p class="sentence">${state && html`<span class="dot" data-state=${state}></span>`}<span>${sentence || " "}</span></p>`}
  </header>`;
}

/** Whether what is shown is current, and since when not. */
export function LiveDot() {
  const health = useHealth();
  if (!health.state) return null;
  return html`<span class="live" data-live=${health.state} title=${health.at ? `Last answer at ${clockTime(health.at)}` : undefined}>
    <span class="dot"></span>${words[health.state]}${(health.state === "late" || health.state === "lost") && health.at > 0 && html` <${Age} at=${health.at} />`}</span>`;
}
