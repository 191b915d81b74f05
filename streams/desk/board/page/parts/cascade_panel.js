// The cascade: what liquidations closed and still ask for, who pays, and how near winners are to being asked.

import { exactly, height, short, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { byId, make, replace, setText } from "./elements.js";
import { adlMark, adlRisks } from "./symbols_panel.js";
import { clock, whole } from "./times.js";

const SYMBOLS_MAX = 10;

export async function loadCascade(caller) {
  const answer = await ask("/cascade");
  show(answer.data, caller);
}

function show({ liquidated, funds }, caller) {
  const { executed, requested, requests, completed, since_ns: since } = liquidated;
  setText(byId("cascade-said"), since ? `${requests} under way, ${completed} ended since ${clock(since)}` : "");
  byId("cascade-said").title = since ? `counted since ${whole(since)}: what this process has heard` : "";
  const symbols = [...new Set([...Object.keys(requested), ...Object.keys(executed)])].sort((one, other) => height(executed[other] ?? "0") + height(requested[other] ?? "0") - height(executed[one] ?? "0") - height(requested[one] ?? "0"));
  const largest = Math.max(1, ...symbols.map((it) => Math.max(height(executed[it] ?? "0"), height(requested[it] ?? "0"))));
  const bars = symbols.slice(0, SYMBOLS_MAX).flatMap((symbol) => [
    make("bdi", {}, symbol), track(executed[symbol], requested[symbol], largest),
    make("span", { class: "num", title: `executed ${exactly(executed[symbol] ?? "0")}, asked for ${exactly(requested[symbol] ?? "0")} ${caller.currency}` }, short(executed[symbol] ?? "0"), make("span", { class: "dim" }, ` / ${short(requested[symbol] ?? "0")}`)),
  ]);
  replace(byId("cascade"),
    symbols.length ? make("div", { class: "bars" }, make("span", { class: "dim" }, "symbol"), make("span", { class: "dim" }, "■ executed  ▨ asked for"), make("span", { class: "dim" }, caller.currency), ...bars)
      : make("p", { class: "empty" }, "Nothing is being liquidated, and nothing was as far back as this process has heard."),
    ...fundsOf(funds, caller));
}

function track(executed, requested, largest) {
  const bar = (amount, kind) => {
    const element = make("span", { class: kind });
    element.style.width = `${(100 * height(amount ?? "0")) / largest}%`;
    return element;
  };
  return make("div", { class: "track", "aria-hidden": "true" }, bar(executed, ""), bar(requested, "asked"));
}

function fundsOf(funds, caller) {
  if (funds === null) {
    const why = caller.fund_topic ? "The fund's topic was not read yet." : "No insurance fund is stated (UNIMARGIN_FUND_TOPIC_ENABLED is off): nobody can say who would bear a deficit, or whether winners will be deleveraged.";
    return [make("p", { class: "empty" }, why)];
  }
  if (!funds.length) return [make("p", { class: "empty" }, "The exchange has stated no insurance fund yet.")];
  const worth = funds.flatMap((fund) => [make("dt", {}, "fund ", make("bdi", {}, fund.group)), make("dd", { class: "num", title: `${exactly(fund.worth)} stated ${whole(fund.stated_ns)}` }, `${shown(fund.worth, 0)} ${caller.currency}`)]);
  const risks = adlRisks().flatMap(([symbol, risk]) => [make("dt", {}, "deleveraging of ", make("bdi", {}, symbol)), make("dd", {}, adlMark(risk))]);
  const none = [make("dt", {}, "deleveraging"), make("dd", { class: "good" }, "● no contract is near it")];
  return [make("dl", { class: "facts" }, ...worth, ...(risks.length ? risks : none))];
}
