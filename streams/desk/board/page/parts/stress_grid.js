// What moves of the whole market, and days of history, would make of the account.

import { exactly, percent, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { bandMark, shape } from "./band_words.js";
import { cell, make, replace, table } from "./elements.js";

const WORDS = { uniform: "all alike", beta: "by beta" };

export async function loadStress(place, path) {
  const { grids, scenarios, worst_case: worst } = (await ask(`${path}/stress`)).data;
  const kinds = Object.keys(grids);
  const cells = (kind) => grids[kind].filter((it) => it.volatility === "0");
  const shared = (it) => it.pools.find((pool) => pool.pool === "") ?? it.pools[0];
  const moves = cells(kinds[0]).map((it) => it.move);
  const head = moves.map((it) => [`${it.startsWith("-") || it === "0" ? "" : "+"}${percent(it, 0)}`, "num"]);
  const row = (kind) => make("tr", {}, make("th", { scope: "row" }, WORDS[kind] ?? kind), ...cells(kind).map((it) => {
    const pool = shared(it);
    return make("td", { class: "num", "data-band": pool.band, title: `equity ${exactly(pool.equity)}, ${pool.band.replaceAll("_", " ")}` }, `${shape(pool.band)} ${pool.ratio === null ? "–" : shown(pool.ratio, 2)}`);
  }));
  const days = scenarios.map((it) => make("tr", { title: it.about }, make("th", { scope: "row" }, it.name), cell(bandMark(shared(it).band)), cell(shown(shared(it).equity), "num"), cell(shown(shared(it).profit), "num"), cell(shared(it).ratio === null ? "–" : shown(shared(it).ratio, 2), "num")));
  const alone = worst?.lines.find((it) => !it.crossed && it.move !== null);
  replace(place,
    table("Ratio of the shared pool after a move", [["move", ""], ...head], kinds.map(row), "stress-table"),
    make("p", { class: "plain" }, worst ? `Most leveraged: ${worst.key}, ${worst.leverage === null ? "on no equity" : `${shown(worst.leverage, 1)} times`}.${alone ? ` It alone reaches the line ${alone.line} at ${percent(alone.move)}.` : ""}` : "No contract."),
    table("Days of history", [["day", ""], ["would be", ""], ["equity", "num"], ["change", "num"], ["ratio", "num"]], days));
}
