// The symbols: what price is in force, how old, whether it is doubted, and how near its winners are to being deleveraged.

import { exactly, height, percent } from "./amounts.js";
import { ask } from "./asking.js";
import { word } from "./band_words.js";
import { byId, cell, make, replace, setText, table } from "./elements.js";
import { span, whole } from "./times.js";

const COLUMNS = [["Symbol", ""], ["Price", "num"], ["Age", "num"], ["State", ""], ["Second source", ""], ["ADL", ""], ["Refused last", ""]];

const ADL = { none: ["dim", "none"], soon: ["wait", "▲ soon"], active: ["bad", "✖ active"] };
let newest = [];

/** How near the winners of a contract are to being deleveraged, as a mark; its title says since when. */
export function adlMark({ level, since_ns: since }) {
  const [look, words] = ADL[level];
  return make("span", { class: look, title: since ? `since ${whole(since)}` : null }, words);
}

/** The newest known risks of deleveraging that are not none: [symbol, risk]. */
export const adlRisks = () => newest.filter(({ adl }) => adl && adl.level !== "none").map(({ belief, adl }) => [belief.symbol, adl]);

export async function loadSymbols() {
  const answer = await ask("/symbols");
  newest = answer.data;
  show(newest);
  return answer;
}

const trouble = ({ belief, adl }) => (belief.stale ? 4 : 0) + (belief.doubt ? 2 : 0) + (adl && adl.level !== "none" ? 1 : 0);

function show(symbols) {
  const [stale, doubted] = [symbols.filter((it) => it.belief.stale).length, symbols.filter((it) => it.belief.doubt).length];
  setText(byId("symbols-said"), `${symbols.length} symbols · ${stale} stale · ${doubted} doubted`);
  if (!symbols.length) {
    replace(byId("symbols"), make("p", { class: "empty" }, "The policy prices no symbol."));
    return;
  }
  // whatever is wrong first; the rest stays in the order of the policy
  const ordered = symbols.map((it, at) => [trouble(it), at, it]).sort(([one, a], [other, b]) => other - one || a - b).map(([, , it]) => it);
  replace(byId("symbols"), table("Price symbols", COLUMNS, ordered.map(rowOf)));
}

function rowOf({ belief, adl }) {
  const { symbol, price, age_seconds: age, stale, doubt, second_source: second, refusal, notice } = belief;
  const state = stale ? ["bad", price === null ? "✖ no price yet" : "✖ stale"] : doubt ? ["wait", `▲ doubted ±${percent(doubt.haircut, 1)}`] : ["good", "● fresh"];
  const about = notice ? `${word(notice.kind)} ${whole(notice.time_ns)}: ${notice.detail}` : null;
  return make("tr", {},
    make("th", { scope: "row" }, make("bdi", {}, symbol)),
    cell(price === null ? "–" : exactly(price), "num"),
    cell(age === null ? "–" : span(height(age)), stale ? "num bad" : "num"),
    cell(make("span", { class: state[0], title: about }, state[1])),
    cell(second ? make("span", { class: second.diverges ? "bad" : "dim", title: `quoted ${second.quoted}, other ${second.other}, in force ${second.in_force}, since ${whole(second.since_ns)}` }, second.diverges ? `diverges: ${second.other ?? "silent"}` : "agrees") : "", "dim long"),
    cell(adl ? adlMark(adl) : "", "dim"),
    cell(refusal ? make("span", { title: `${refusal.detail}; mark of ${whole(refusal.time_ns)}` }, `${exactly(refusal.price)} ${word(refusal.reason)} (${refusal.refused})`) : "", "dim long"));
}
