// What the account holds, and how far the market may move until it stands at each line.

import { exactly, percent, shown } from "./amounts.js";
import { bandMark } from "./band_words.js";
import { cell, make, replace, table } from "./elements.js";

const none = (place, why) => replace(place, make("p", { class: "empty" }, why));
const POSITIONS = [["Contract", ""], ["Held", "num"], ["Entry", "num"], ["Mark", "num"], ["P&L", "num"], ["Notional", "num"], ["Maintenance", "num"], ["Liquidation at", "num"], ["Bankrupt at", "num"], ["Leverage", "num"]];

export function positionsOf(place, { positions }) {
  if (!positions.length) return none(place, "No position.");
  return replace(place, table("Positions", POSITIONS, positions.map((it) => make("tr", {},
    make("th", { scope: "row" }, make("bdi", {}, it.symbol), make("span", { class: "dim" }, `${it.leg ? ` ${it.leg}` : ""}${it.mode === "isolated" ? " isolated" : ""}`)),
    cell(exactly(it.quantity), "num"), cell(exactly(it.entry_price), "num"),
    cell(make("span", it.mark_fresh ? {} : { class: "wait", title: "not fresh" }, exactly(it.mark)), "num"),
    cell(`${shown(it.unrealised_pnl)} ${it.settle}`, `num ${it.unrealised_pnl.startsWith("-") ? "bad" : "good"}`, exactly(it.unrealised_pnl, 40)),
    cell(shown(it.notional), "num", it.notional), cell(shown(it.maintenance_margin), "num", it.maintenance_margin),
    cell(exactly(it.liquidation_price, 4), "num", it.liquidation_price), cell(exactly(it.bankruptcy_price, 4), "num", it.bankruptcy_price), cell(shown(it.leverage, 1), "num")))));
}

export function ordersOf(place, { orders }) {
  if (!orders.length) return none(place, "No open order.");
  return replace(place, table("Open orders", [["Contract", ""], ["Side", ""], ["Quantity", "num"], ["Price", "num"], ["", ""]], orders.map((it) => make("tr", { title: `order ${it.order_id}` },
    make("th", { scope: "row" }, make("bdi", {}, it.symbol)), cell(it.side), cell(exactly(it.quantity), "num"), cell(exactly(it.price), "num"), cell([it.leg, it.mode === "isolated" && "isolated", it.reduce_only && "reduce only"].filter(Boolean).join(", "), "dim")))));
}

export function balancesOf(place, { balances, collateral_off: off, idle_isolated_margin: idle }) {
  const rows = [...Object.entries(balances).map(([asset, amount]) => [asset, amount, off.includes(asset) ? "not pledged" : ""]), ...Object.entries(idle).map(([asset, amount]) => [asset, amount, "idle isolated margin"])];
  if (!rows.length) return none(place, "No balance.");
  return replace(place, table("Balances", [["Asset", ""], ["Amount", "num"], ["", ""]], rows.map(([asset, amount, about]) => make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, asset)), cell(exactly(amount), amount.startsWith("-") ? "num bad" : "num", amount), cell(about, "dim")))));
}

export function distancesOf(place, { market_moves: together, beta_moves: beta }) {
  const bands = Object.keys(together);
  if (!bands.length) return none(place, "Nothing is required, so no line is near.");
  const moves = (move) => (move.crossed ? [make("td", { class: "num", colspan: 2 }, make("span", { class: "bad", title: "crossed" }, "✖ "), `back at ${either(move)}`)] : [cell(percent(move.down), "num"), cell(move.up === null ? "–" : `+${percent(move.up)}`, "num")]);
  return replace(place, table("Distance to each line", [["Below the line begins", ""], ["Ratio", "num"], ["All fall", "num"], ["All rise", "num"], ["by beta: fall", "num"], ["rise", "num"]],
    bands.map((band) => make("tr", {}, cell(bandMark(band)), cell(shown(together[band].line, 3), "num"), ...moves(together[band]), ...moves(beta[band])))));
}

const either = ({ down, up }) => [down === null ? null : percent(down, 1), up === null ? null : `+${percent(up, 1)}`].filter(Boolean).join(" or ") || "no move";
