// @ts-check
// A bar for each day, which is what is counted by day. (parts/chart.js draws what changes
// within minutes.)

import { html, useState } from "../html.js";

/** How high the drawing is, in units of its own. */
const height = 100;

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string[]} props.days
 * @param {number[]} props.values
 * @param {(n: number) => string} props.format
 */
export function Bars({ title, days, values, format }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const sum = values.reduce((a, b) => a + b, 0);
  const most = Math.max(...values, 0);
  const shown = at !== null && at < days.length ? at : null;

  /** @param {PointerEvent} e */
  const look = (e) => {
    const box = /** @type {Element} */ (e.currentTarget).getBoundingClientRect();
    setAt(Math.max(0, Math.min(days.length - 1, Math.floor(((e.clientX - box.left) / box.width) * days.length))));
  };
  return html`<figure class="bars">
    <figcaption><span class="chart-title">${title}</span>
      <strong>${format(shown === null ? sum : values[shown])}</strong>
      <span class="muted">${shown === null ? `in ${days.length} days` : days[shown]}</span>
      <span class="push"></span><span class="muted">most ${format(most)}</span></figcaption>
    <svg viewBox=${`0 0 ${days.length * 4} ${height}`} preserveAspectRatio="none" role="img" onPointerMove=${look} onPointerLeave=${() => setAt(null)}
      aria-label=${`${title} by day: ${format(sum)} in ${days.length} days, at most ${format(most)}`}>
      ${values.map((value, i) => {
        const high = most === 0 ? 0 : value === 0 ? 0 : Math.max(1, (value / most) * height);
        return html`<rect key=${days[i]} class=${i === shown ? "at" : ""} x=${i * 4 + 0.5} width="3" y=${height - high} height=${high} />`;
      })}
    </svg>
    <div class="bars-ends"><span>${days[0]}</span><span>${days.at(-1)}</span></div>
  </figure>`;
}
