// What if: deposits come in, orders fill, then prices move. The API computes before and after; nothing is sent to anybody.

import { exactly, fractionOf, percent, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { bandMark, word } from "./band_words.js";
import { includes } from "./caller.js";
import { cell, make, replace, table } from "./elements.js";

const ROWS = [["equity", "equity"], ["collateral_value", "collateral value"], ["initial_margin", "initial margin"], ["maintenance_margin", "maintenance margin"], ["available_margin", "available margin"], ["shortfall_to_call", "to the call line"], ["shortfall_to_liquidation", "to liquidation"]];

export class WhatIfForm {
  constructor(place, account, caller) {
    this.account = account;
    this.answer = make("div", { class: "scroller", tabindex: "0", "aria-live": "polite" });
    if (!includes(caller.role, "risk")) {
      place.append(make("p", { class: "empty" }, "What-if takes a key of the role risk."));
      return;
    }
    const input = (label, name, attributes = {}) => make("label", {}, label, make("input", { name, autocomplete: "off", spellcheck: "false", maxlength: 60, ...attributes }));
    const side = make("label", {}, "Side", make("select", { name: "side" }, make("option", {}, "buy"), make("option", {}, "sell")));
    this.form = make("form", { class: "asks" },
      make("fieldset", {}, make("legend", {}, "Prices move"), input("What", "target", { value: "ALL", title: "ALL, an underlying, or a symbol" }), input("By %", "move", { placeholder: "−10", inputmode: "text" })),
      make("fieldset", {}, make("legend", {}, "An order fills"), input("Symbol", "symbol"), side, input("Quantity", "quantity", { inputmode: "decimal" }), input("Price", "price", { placeholder: "the mark", inputmode: "decimal" })),
      make("fieldset", {}, make("legend", {}, "A deposit comes"), input("Asset", "asset"), input("Amount", "amount", { inputmode: "decimal" })),
      make("button", { class: "does", type: "submit" }, "Compute"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#compute();
    });
    place.append(this.form, this.answer);
  }

  async #compute() {
    const asked = Object.fromEntries([...new FormData(this.form)].map(([name, value]) => [name, value.trim()]));
    try {
      const body = questionOf(this.account, asked);
      this.#show((await ask("/what-if", { body })).data);
    } catch (error) {
      replace(this.answer, make("p", { class: "empty bad", role: "alert" }, error.message));
    }
  }

  #show(report) {
    const pools = report.pools.map((pool) => table(`Before and after: ${pool.position ?? "the shared pool"}`, [[pool.position ?? "shared pool", ""], ["now", "num"], ["then", "num"]], [
      make("tr", {}, cell("band by these figures"), cell(bandMark(pool.before.band), "num"), cell(bandMark(pool.after.band), "num")),
      make("tr", { class: "sum" }, cell("ratio"), cell(shown(pool.before.ratio, 4), "num", pool.before.ratio), cell(shown(pool.after.ratio, 4), "num", pool.after.ratio)),
      ...ROWS.map(([name, words]) => make("tr", {}, cell(words), cell(shown(pool.before[name]), "num", exactly(pool.before[name], 40)), cell(shown(pool.after[name]), "num", exactly(pool.after[name], 40)))),
    ]));
    const moved = Object.entries(report.market_moves).map(([band, move]) => `${word(band)} ${move.after.crossed ? "crossed" : percent(move.after.down)}`).join(" · ");
    const kept = report.not_repriced.length ? [make("p", { class: "plain wait" }, `Keep their mark, as volatility or forward are not known: ${report.not_repriced.join(", ")}`)] : [];
    replace(this.answer, ...pools, ...(moved ? [make("p", { class: "plain" }, `Then the market may fall until: ${moved}`)] : []), ...kept);
  }
}

/** What is asked, as the API wants it. Raises for what cannot be meant, in words. */
function questionOf(account, asked) {
  const body = { account, deposits: [], orders: [], shocks: [] };
  if (asked.move) {
    const move = fractionOf(asked.move);
    if (move === null) throw new Error(`“${asked.move}” is no number of percent`);
    body.shocks.push({ target: asked.target || "ALL", move });
  }
  if (asked.symbol || asked.quantity) {
    body.orders.push({ symbol: asked.symbol, side: asked.side, quantity: asked.quantity, ...(asked.price ? { price: asked.price } : {}) });
  }
  if (asked.asset || asked.amount) body.deposits.push({ asset: asked.asset, amount: asked.amount });
  if (!body.shocks.length && !body.orders.length && !body.deposits.length) throw new Error("Say what happens: a move in percent, an order, or a deposit.");
  return body;
}
