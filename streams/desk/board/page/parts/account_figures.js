// The figures of each pool, each with the lines that it is the sum of. The sums are the API's: nothing is added up here.

import { exactly, shown } from "./amounts.js";
import { bandMark, word } from "./band_words.js";
import { cell, make, replace } from "./elements.js";
import { whole } from "./times.js";

const FIGURES = ["equity", "collateral_value", "initial_margin", "maintenance_margin", "liquidation_fee"];
const FOLLOWING = [["available_margin", "available margin", "max(0, collateral value − initial margin)"], ["shortfall_to_call", "to the call line", "collateral missing to stand at it"], ["shortfall_to_liquidation", "to the liquidation line", "collateral missing to stand at it"], ["outstanding", "outstanding", "collateral missing to be rid of the call"]];

export function figuresOf(place, report, open) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.figure : null;
  replace(place, ...report.pools.map((pool) => poolOf(pool, report, open)));
  if (focused) place.querySelector(`[data-figure="${CSS.escape(focused)}"]`)?.focus();
}

function poolOf(pool, report, open) {
  const rows = FIGURES.filter((it) => it !== "liquidation_fee" || pool[it] !== "0").flatMap((figure) => figureRows(figure, pool, open));
  const ratio = make("tr", { class: "sum" }, cell("ratio"), cell("collateral value ÷ (maintenance margin + fee)", "dim"), cell(pool.ratio === null ? "nothing is required" : shown(pool.ratio, 4), "num", pool.ratio));
  const following = FOLLOWING.map(([name, words, how]) => make("tr", {}, cell(words), cell(how, "dim"), cell(shown(pool[name]), "num", exactly(pool[name], 40))));
  const ahead = pool.follows.map((it) => `${word(it.step)}${it.below_ratio ? ` below ${it.below_ratio}` : ""}${it.at_ns ? ` at ${whole(it.at_ns)}` : ""}${it.awaits ? ` (waits for the ${word(it.awaits)})` : ""}`);
  return make("table", {},
    make("caption", { class: "unseen" }, `Figures of ${pool.position ?? "the shared pool"}`),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, bandMark(pool.band), ` ${pool.position ?? "shared pool"} · ${word(pool.model)}`), make("th", { scope: "col" }, pool.band === pool.band_at_figures ? "" : `these figures alone say ${word(pool.band_at_figures)}`), make("th", { scope: "col", class: "num" }, report.currency))),
    make("tbody", {}, ...rows, ratio, ...following, ahead.length ? make("tr", {}, cell("what may follow"), make("td", { class: "long", colspan: 2 }, ahead.join(" · "))) : null));
}

function figureRows(figure, pool, open) {
  const name = `${pool.position ?? ""}/${figure}`;
  const lines = (pool.lines ?? []).filter((it) => it.figure === figure);
  const toggle = make("button", { type: "button", class: "lines", "data-figure": name, "aria-expanded": String(open.has(name)), disabled: !lines.length }, `${open.has(name) ? "▾" : "▸"} ${word(figure)}`);
  const detail = open.has(name) ? lines.map(lineOf) : [];
  toggle.addEventListener("click", () => {
    open.has(name) ? open.delete(name) : open.add(name);
    const shownNow = toggle.getAttribute("aria-expanded") === "true";
    toggle.setAttribute("aria-expanded", String(!shownNow));
    toggle.textContent = `${shownNow ? "▸" : "▾"} ${word(figure)}`;
    const row = toggle.closest("tr");
    if (shownNow) while (row.nextElementSibling?.classList.contains("line")) row.nextElementSibling.remove();
    else row.after(...lines.map(lineOf));
  });
  return [make("tr", { class: "sum" }, cell(toggle), cell(lines.length ? `sum of ${lines.length} lines` : "", "dim"), cell(shown(pool[figure]), "num", exactly(pool[figure], 40))), ...detail];
}

function lineOf(line) {
  const inputs = Object.entries(line.inputs).map(([name, value]) => `${word(name)} ${exactly(value)}`).join(", ");
  return make("tr", { class: "line" }, cell(make("bdi", {}, line.item)), make("td", { class: "long dim" }, `${line.formula}: ${inputs}`), cell(exactly(line.value, 40), "num"));
}
