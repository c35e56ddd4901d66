// @ts-check
// What a button does: one call at a time, with the problem it ended in.

import { useEffect, useRef, useState } from "../html.js";
import { asProblem } from "../../api.js";

/**
 * @typedef {object} Action
 * @property {string} busy the name of what is under way; "" for nothing
 * @property {import("../../api.js").Problem | null} problem why the last one did not work
 * @property {<T>(name: string, call: () => Promise<T>) => Promise<T | undefined>} run makes
 *   a call; undefined when it ended in a problem, or another one is under way
 * @property {() => void} clear forgets the problem
 */

/**
 * Runs calls, and remembers what is under way and what went wrong.
 * @returns {Action}
 */
export function useAction() {
  const [busy, setBusy] = useState("");
  const [problem, setProblem] = useState(/** @type {import("../../api.js").Problem | null} */ (null));
  const running = useRef(false);
  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);
  return {
    busy,
    problem,
    clear: () => setProblem(null),
    async run(name, call) {
      if (running.current) return undefined;
      running.current = true;
      setBusy(name);
      setProblem(null);
      try {
        return await call();
      } catch (error) {
        if (here.current) setProblem(asProblem(error));
        return undefined;
      } finally {
        running.current = false;
        if (here.current) setBusy("");
      }
    },
  };
}

/**
 * The id of the request that an answer belongs to, for the line that stays.
 * @param {{headers: Headers}} answer
 */
export function requestOf(answer) {
  return answer.headers.get("X-Request-ID") ?? "";
}

/**
 * Idempotency keys of a form: the same for the same body, so that what is sent twice is
 * done once.
 * @returns {(body: unknown) => string}
 */
export function useKeys() {
  const last = useRef({ body: "", key: "" });
  return (body) => {
    const text = JSON.stringify(body);
    if (text !== last.current.body) {
      const random = crypto.getRandomValues(new Uint8Array(16));
      last.current = { body: text, key: `console-${[...random].map((b) => b.toString(16).padStart(2, "0")).join("")}` };
    }
    return last.current.key;
  };
}
