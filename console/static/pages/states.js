// @ts-check
// The states of tenants, in the words that pages use.

/** The states, in the order in which they ask for somebody. */
export const states = ["fails", "waits", "stopped", "provisioning", "deleting", "inactive", "flows"];

/** @type {Record<string, {chip: string, word: string}>} */
const known = {
  flows: { chip: "flows", word: "Flows" },
  waits: { chip: "waits", word: "Waits" },
  fails: { chip: "fails", word: "Fails" },
  stopped: { chip: "stopped", word: "Stopped" },
  inactive: { chip: "inactive", word: "Inactive" },
  provisioning: { chip: "waits", word: "Being made" },
  deleting: { chip: "stopped", word: "Being deleted" },
};

/** The chip and the word of a state. */
export function words(/** @type {string} */ state) {
  return known[state] || { chip: "inactive", word: state };
}
