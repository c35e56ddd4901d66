// @ts-check
// Colours as #rrggbb, and whether they can be read.

const readable = 4.5;

/** The colour, mixed with another one until it can be read on the ground. */
export function towards(/** @type {string} */ color, /** @type {string} */ other, /** @type {string} */ ground) {
  for (let part = 0; part < 1; part += 0.04) {
    const mixed = mix(color, other, part);
    if (contrast(mixed, ground) >= readable) return mixed;
  }
  return other;
}

/** The contrast of two colours, 1 to 21 (WCAG 2.2). */
export function contrast(/** @type {string} */ a, /** @type {string} */ b) {
  const [dim, bright] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dim + 0.05);
}

function luminance(/** @type {string} */ color) {
  const [r, g, b] = parse(color).map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The colour, with a part of another one, 0 to 1. */
export function mix(/** @type {string} */ color, /** @type {string} */ other, /** @type {number} */ part) {
  const [from, to] = [parse(color), parse(other)];
  return `#${from.map((value, at) => Math.round(value + (to[at] - value) * part).toString(16).padStart(2, "0")).join("")}`;
}

/** Red, green and blue of #rrggbb, 0 to 255 each.
 * @returns {number[]} */
export function parse(/** @type {string} */ color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}
