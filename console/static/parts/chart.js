// @ts-check
// Charts of the last minutes: what is now as a number, all lines at a time on hover.
import { clockTime, rate } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";

/** @type {Promise<any> | null} */
let library = null;
function load() {
  if (!library) {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("../vendor/uplot.css", import.meta.url).href;
    document.head.append(link);
    library = import("../vendor/uplot.js").then((m) => m.default);
    library.catch(() => { library = null; });
  }
  return library;
}

/** How the lines after the first differ from it: all have the accent. */
const dashes = [[], [5, 4], [1.5, 3]];
const height = 148;

/**
 * @param {{series: {label: string, unit?: string, values: (number | null)[]}[], times: number[], now?: string | number,
 *   title?: string, unit?: string, format?: (n: number | null | undefined) => string}} props times are in seconds; null values are gaps; now is the number shown
 *   beside a chart of one line, else its last value; unit is that of all lines
 */
export function Chart({ series, times, now = undefined, title = "", unit = "", format = rate }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [scheme, setScheme] = useState(0);
  const shape = series.map((s) => s.label).join("\n");
  const data = [times, ...series.map((s) => s.values)];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const update = () => setScheme((n) => n + 1);
    media.addEventListener("change", update);
    return () => media.removeEventListener("change", update);
  }, []);

  useEffect(() => {
    let ended = false;
    const element = /** @type {HTMLElement} */ (box.current);
    const observer = new ResizeObserver(() => {
      if (plot.current && element.clientWidth > 0) plot.current.setSize({ width: element.clientWidth, height });
    });
    void load().then((uPlot) => {
      if (ended || !uPlot) return;
      plot.current = new uPlot(options(element, series, setAt), latest.current, element);
      observer.observe(element);
    }, () => {}); // without the library the numbers are still there
    return () => {
      ended = true;
      observer.disconnect();
      if (plot.current) plot.current.destroy();
      plot.current = null;
    };
  }, [shape, scheme]);

  useEffect(() => { if (plot.current) plot.current.setData(data); }, [times, ...series.map((s) => s.values)]);

  const index = at ?? lastKnown(series, times.length);
  const hovered = html`<span class="chart-at">${at !== null && times[at] ? clockTime(times[at] * 1000) : ""}</span>`;
  return html`<figure class="chart"><figcaption>
      ${title && html`<span class="chart-title"><span>${title}${unit && html` <span class="unit">${unit}</span>`}</span>${hovered}</span>`}
      ${series.map((s, i) => html`<span key=${s.label} class="chart-now">
        ${(series.length > 1 || !title) && html`<span class="chart-key" data-dash=${i}></span><span class="chart-label">${s.label}</span>`}
        <strong>${at === null && now !== undefined && series.length === 1 ? now : format(s.values[index])}</strong>${s.unit && html` <span class="unit">${s.unit}</span>`}</span>`)}
      ${!title && html`<span class="push"></span>${hovered}`}
    </figcaption><div class="chart-box" ref=${box} role="img" aria-label=${described(unit ? `${title} (${unit})` : title, series, index, format)}></div></figure>`;
}

function lastKnown(series, /** @type {number} */ n) {
  for (let i = n - 1; i >= 0; i--) {
    if (series.some((/** @type {any} */ s) => s.values[i] !== null && s.values[i] !== undefined)) return i;
  }
  return n - 1;
}

function described(/** @type {string} */ title, series, /** @type {number} */ index, format) {
  const values = series.map((/** @type {any} */ s) => `${s.label} ${format(s.values[index])}${s.unit ? ` ${s.unit}` : ""}`);
  return `${title ? `${title}: ` : ""}${values.join(", ")}, over time`;
}

/** What uPlot is told. It draws in the colours of the page. */
function options(/** @type {HTMLElement} */ element, series, setAt) {
  const style = getComputedStyle(element);
  const token = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: token("--muted"), font: `11px ${style.fontFamily}`, ticks: { show: false },
    grid: { stroke: token("--line"), width: 1 },
  };
  return {
    width: element.clientWidth || 300, height, padding: [8, 22, 0, 0], legend: { show: false },
    cursor: { y: false, points: { size: 6, fill: token("--accent") }, drag: { setScale: false, x: false, y: false } },
    scales: { x: { time: true }, y: { range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 72, size: 24, values: (/** @type {any} */ _u, /** @type {number[]} */ at) => at.map((s) => clockTime(s * 1000).slice(0, at[1] - at[0] < 60 ? 8 : 5)) },
      { ...axis, size: 44, space: 36, gap: 6, values: (/** @type {any} */ _u, /** @type {number[]} */ at) => at.map((v) => compact(v)) },
    ],
    series: [{}, ...series.map((/** @type {any} */ s, /** @type {number} */ i) => ({
      label: s.label, stroke: token("--accent"), width: 1.5, dash: dashes[i % dashes.length], spanGaps: false, points: { show: false },
      fill: series.length === 1 ? token("--accent-soft") : undefined,
    }))],
    hooks: { setCursor: [(/** @type {any} */ u) => setAt(u.cursor.idx ?? null)] },
  };
}

function compact(/** @type {number} */ n) {
  return new Intl.NumberFormat("en-US", { notation: n >= 10000 ? "compact" : "standard", maximumFractionDigits: 1 }).format(n);
}
