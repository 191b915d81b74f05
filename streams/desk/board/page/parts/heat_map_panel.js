// What each move of the whole market would be the first to liquidate, by symbol: warmer is more, on a scale of powers of ten.

import { exactly, height, percent, short } from "./amounts.js";
import { ask } from "./asking.js";
import { byId, make, replace, setText } from "./elements.js";

const SYMBOLS_MAX = 14;
const DECADES = 4; // shown in shades below the largest

export async function loadHeatMap() {
  const answer = await ask("/heat-map");
  show(answer.data);
}

function show(report) {
  const symbols = Object.entries(report.by_symbol).slice(0, SYMBOLS_MAX);
  const more = Object.keys(report.by_symbol).length - symbols.length;
  const withheld = report.withheld_pools ? ` · ${report.withheld_pools} pools left out: doubted or stopped` : "";
  setText(byId("heat-said"), `${report.currency} first to fall at each move · ${report.accounts.toLocaleString("en")} accounts${more > 0 ? ` · ${more} smaller symbols not shown` : ""}${withheld}`);
  if (!symbols.length) {
    const why = report.stale_symbols.length ? `Prices are too old to say: ${report.stale_symbols.slice(0, 6).join(", ")}.` : "No move of the market within these would liquidate anybody.";
    replace(byId("heat"), make("p", { class: "empty" }, why));
    return;
  }
  const largest = Math.max(...symbols.flatMap(([, row]) => row.map(height)), 1);
  const heads = report.moves.map((move) => make("th", { scope: "col", class: move === "0" ? "now" : null, title: `${percent(move, 0)} of the whole market` }, move === "0" ? "now" : percent(move, 0).replace(" %", "")));
  const pools = make("tr", {}, make("th", { scope: "row" }, "pools"), ...report.pools.map((it) => make("td", { class: "num dim" }, it ? it.toLocaleString("en") : "")));
  const rows = symbols.map(([symbol, row]) => make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, symbol)), ...row.map((it, at) => cellOf(it, largest, `${symbol} at ${percent(report.moves[at], 0)}: ${exactly(it)} ${report.currency}`))));
  const most = Math.max(...report.total.map(height), 1);
  const total = make("tr", {}, make("th", { scope: "row" }, "all"), ...report.total.map((it, at) => cellOf(it, most, `all at ${percent(report.moves[at], 0)}: ${exactly(it)} ${report.currency}`)));
  replace(byId("heat"), make("table", { class: "heat-table" }, make("caption", { class: "unseen" }, "Notional liquidated by symbol and market move in percent"),
    make("thead", {}, make("tr", {}, make("th", { scope: "row" }, "move %"), ...heads)), make("tbody", {}, total, ...rows, pools)));
}

function cellOf(amount, largest, title) {
  const value = height(amount);
  const warmth = value > 0 ? Math.max(0.06, 1 + Math.log10(value / largest) / DECADES) : 0;
  const element = make("td", { class: warmth > 0.62 ? "num hot" : "num", title }, value ? short(amount) : "");
  element.style.setProperty("--warmth", warmth.toFixed(2));
  return element;
}
