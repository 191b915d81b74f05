// Keys. None of them does anything but move about, and none works while somebody types.

import { tell } from "./dialogs.js";
import { byId, make } from "./elements.js";

const TYPES_IN = "input, select, textarea, [contenteditable]";

const KEYS = [["/", "open an account by its name"], ["j  k", "down and up in the accounts"], ["Enter", "open the account"], ["b", "back to the whole book"], ["f", "filter by name"], ["?", "this"]];
const WORDS = [
  ["ratio", "collateral value ÷ requirement; a line of the policy crossed downwards puts an account into the next band"],
  ["to call, to liquidation", "collateral that is missing to stand above that line; – where nothing is"],
  ["may", "what the account may still do: all, trade only (no withdrawal), reduce only, locked"],
  ["degraded", "the verdict hangs on a price that is doubted"],
  ["read, prices", "how old the accounts and the newest price are that you see"],
];

export function startShortcuts(table) {
  const help = () => tell("Keys and words",
    make("dl", { class: "facts" }, ...KEYS.flatMap(([key, does]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, does)])),
    make("dl", { class: "facts" }, ...WORDS.flatMap(([name, means]) => [make("dt", {}, name), make("dd", {}, means)])));
  byId("help").addEventListener("click", help);
  byId("lookup").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("lookup-name").value.trim();
    if (name) location.hash = `#/account/${encodeURIComponent(name)}`;
    byId("lookup-name").blur();
  });
  const does = {
    "/": () => byId("lookup-name").focus(),
    f: () => document.querySelector("#accounts-filter input[aria-label*='name']")?.focus(),
    j: () => move(table, "ArrowDown"),
    k: () => move(table, "ArrowUp"),
    b: () => (location.hash = "#/"),
    "?": help,
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches?.(TYPES_IN)) event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open || event.target.matches?.(TYPES_IN)) return;
    const work = does[event.key];
    if (work) {
      event.preventDefault();
      work();
    }
  });
}

function move(table, key) {
  const focused = document.activeElement?.closest?.(".tabulator-row a");
  if (focused) focused.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  else table.focusFirst();
}
