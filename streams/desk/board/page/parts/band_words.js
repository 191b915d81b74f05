// The bands as people see them: a shape, a word, and a place in the order. Shapes tell them apart without colours.

import { make } from "./elements.js";

export const BANDS = ["healthy", "warning", "margin_call", "reduce_only", "liquidation", "bankrupt"];
const SHAPES = { healthy: "○", warning: "△", margin_call: "◆", reduce_only: "▼", liquidation: "■", bankrupt: "✖" };

export const severity = (band) => BANDS.indexOf(band);
export const word = (name) => (name ?? "").replaceAll("_", " ");
export const shape = (band) => SHAPES[band] ?? "?";

export function bandMark(band) {
  return make("span", { class: "band", "data-band": band }, make("i", { "aria-hidden": "true" }, shape(band)), word(band));
}
