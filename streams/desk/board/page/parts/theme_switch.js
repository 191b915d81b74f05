// Dark or light: as the system has it, until somebody says otherwise.

import { byId } from "./elements.js";

const PLACE = "unimargin-colours";
const ORDER = ["", "dark", "light"];
const WORDS = { "": "as the system has them", dark: "dark", light: "light" };
const listeners = [];

const chosen = () => localStorage.getItem(PLACE) ?? "";

function show() {
  const root = document.documentElement;
  if (chosen()) root.dataset.theme = chosen();
  else delete root.dataset.theme;
  const button = byId("theme");
  button.setAttribute("aria-label", `Colours: ${WORDS[chosen()]}`);
  button.title = `Colours: ${WORDS[chosen()]}`;
  listeners.forEach((it) => it());
}

/** Whoever draws on a canvas has to draw anew. */
export const onColours = (listener) => listeners.push(listener);

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function startTheme() {
  byId("theme").addEventListener("click", () => {
    localStorage.setItem(PLACE, ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length]);
    show();
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", show);
  show();
}
