// @ts-check
// What all modules build pages with.
import { h, render, Fragment, createContext, cloneElement } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
export { h, render, Fragment, createContext, cloneElement };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useErrorBoundary, useId } from "../vendor/hooks.js";
