// @ts-check
// All parts, for pages.
export * from "./html.js";
export * from "./format.js";
export { Age, Button, ButtonLink, Chip, CodeBlock, Copy, copyText, Empty, Field, NewRows, ProblemView, ShortId, Tabs, Time, useAutofocus } from "./basics.js";
export { Icon } from "./icons.js";
export { Chart } from "./chart.js";
export { ConfirmDialog, Dialog } from "./dialog.js";
export { JsonView } from "./json.js";
export { Menu } from "./menu.js";
export { say, sayProblem, useOutcomes } from "./outcomes.js";
export { LiveDot, PageHead } from "./page.js";
export { Paged, usePaged } from "./paged.js";
export { Table, useNarrow } from "./table.js";
