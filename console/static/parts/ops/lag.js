// @ts-check
// An endpoint's lag over time, for as long as the page is open.

import { useRef } from "../html.js";

/** How many points are kept: 15 minutes, one every 2 seconds. */
const most = 450;
/** After so many seconds without a point there is a gap. */
const gapAfter = 10;

/**
 * Adds a point unless it is there. A gap before it is a point without a value.
 * @param {{times: number[], values: (number | null)[]}} points
 * @param {number} at in seconds
 * @param {number} value
 */
export function addPoint(points, at, value) {
  // Before the first there is a minute without any, so that the axis has a width.
  const times = points.times.length > 0 ? [...points.times] : [at - 60];
  const values = points.times.length > 0 ? [...points.values] : [null];
  const last = times[times.length - 1];
  if (at <= last) return points;
  if (at - last > gapAfter && points.times.length > 0) {
    times.push(last + 1);
    values.push(null);
  }
  times.push(at);
  values.push(value);
  return { times: times.slice(-most), values: values.slice(-most) };
}

/**
 * The lag of an endpoint since the page was opened.
 * @param {string} id of the endpoint, with which the points begin anew
 * @param {number | undefined} lag
 * @param {number | undefined} at when that was read, in milliseconds
 */
export function useLag(id, lag, at) {
  const kept = useRef({ id, points: { times: /** @type {number[]} */ ([]), values: /** @type {(number | null)[]} */ ([]) } });
  if (kept.current.id !== id) kept.current = { id, points: { times: [], values: [] } };
  if (lag !== undefined && at !== undefined) kept.current.points = addPoint(kept.current.points, Math.floor(at / 1000), lag);
  return kept.current.points;
}
