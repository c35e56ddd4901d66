// @ts-check
// Rows that do not move under who reads them.
import { useMemo, useRef, useState } from "./html.js";

/**
 * Returns rows in the order in which they were when somebody began to look at them closely:
 * what is in them stays current, rows that are gone stay as they were, new ones wait. Without
 * that it returns rows as they are.
 *
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => string} keyOf
 * @returns {{rows: T[], gone: Set<string>, waiting: number, moved: boolean, hold: (held: boolean) => void, release: () => void}}
 */
export function useSteady(rows, keyOf) {
  const [held, setHeld] = useState(/** @type {string[] | null} */ (null));
  const seen = useRef(/** @type {Map<string, T>} */ (new Map()));
  const newest = useRef(rows);
  newest.current = rows;
  const settled = useMemo(() => {
    if (!held) {
      seen.current = new Map(rows.map((row) => [keyOf(row), row]));
      return { rows, gone: new Set(), waiting: 0, moved: false };
    }
    const now = new Map(rows.map((row) => [keyOf(row), row]));
    const gone = new Set(held.filter((key) => !now.has(key)));
    const shown = held.map((key) => /** @type {T} */ (now.get(key) || seen.current.get(key))).filter(Boolean);
    const kept = new Set(held);
    const order = rows.map(keyOf).filter((key) => kept.has(key));
    const left = held.filter((key) => now.has(key));
    return { rows: shown, gone, waiting: rows.length - order.length, moved: gone.size > 0 || order.some((key, i) => key !== left[i]) };
  }, [rows, held]);
  return {
    .../** @type {any} */ (settled),
    hold: (/** @type {boolean} */ on) => setHeld((before) => (on ? before || newest.current.map(keyOf) : null)),
    release: () => setHeld((before) => (before ? newest.current.map(keyOf) : null)),
  };
}
