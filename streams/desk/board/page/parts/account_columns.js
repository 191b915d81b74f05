// What the table of accounts shows of a row, and by what it is sorted: names of fields are the API's.

import { exactly, height, shown } from "./amounts.js";
import { bandMark, severity, word } from "./band_words.js";
import { accountLink, make } from "./elements.js";
import { clock, whole } from "./times.js";

const CALLS = ["none", "standard", "urgent", "aged"];
const CONTROLS = ["trade_and_withdraw", "trade_only", "reduce_only", "locked"];
const CONTROL_WORDS = { trade_and_withdraw: "all", trade_only: "trade only", reduce_only: "reduce only", locked: "locked" };

const byNumber = (one, other) => {
  const difference = height(one) - height(other);
  return Number.isNaN(difference) ? 0 : difference;
};
const byOrder = (order) => (one, other) => order.indexOf(one) - order.indexOf(other);

const textOf = (content, title) => make("span", title ? { title } : {}, content);
/** A number that is cut off is a wrong one: large amounts go without their cents, which stand in the title. */
const amount = (it) => {
  const value = it.getValue();
  return textOf(value === "0" ? "–" : shown(value, Math.abs(height(value)) < 100_000 ? 2 : 0), value === null ? null : exactly(value, 40));
};
const pool = (row) => (row.position ? ` · ${row.position}` : "");
const flags = (row) => [row.stopped && "stopped", row.degraded && "degraded"].filter(Boolean).join(", ");

/** `narrow`: also where there is no room for all. */
const COLUMNS = [
  { title: "Band", field: "band", minWidth: 104, widthGrow: 1, narrow: true, sorter: (a, b) => severity(a) - severity(b), formatter: (it) => bandMark(it.getValue()) },
  { title: "Account", field: "account", minWidth: 104, widthGrow: 2.4, narrow: true, formatter: (it) => {
    const row = it.getData();
    return make("span", { title: `shard ${row.shard ?? "?"}${pool(row)}` }, accountLink(row.account), make("span", { class: "dim" }, pool(row)), flags(row) ? make("span", { class: "wait" }, ` ${flags(row)}`) : null);
  } },
  { title: "Ratio", field: "ratio", minWidth: 60, num: true, narrow: true, sorter: byNumber, formatter: (it) => textOf(it.getValue() === null ? "–" : shown(it.getValue(), Math.abs(height(it.getValue())) < 10 ? 3 : 1), it.getValue()) },
  { title: "Equity", field: "equity", minWidth: 88, widthGrow: 1.2, num: true, sorter: byNumber, formatter: amount },
  { title: "Maint.", headerTooltip: "maintenance margin", field: "maintenance_margin", minWidth: 82, widthGrow: 1.2, num: true, sorter: byNumber, formatter: amount },
  { title: "To call", headerTooltip: "collateral missing to the line of a margin call", field: "shortfall_to_call", minWidth: 82, widthGrow: 1.1, num: true, sorter: byNumber, formatter: amount },
  { title: "To liq.", headerTooltip: "collateral missing to the liquidation line", field: "shortfall_to_liquidation", minWidth: 84, widthGrow: 1.1, num: true, narrow: true, sorter: byNumber, formatter: amount },
  { title: "Call", field: "call", minWidth: 112, widthGrow: 1.2, sorter: byOrder(CALLS), formatter: (it) => {
    const { call, deadline_ns: deadline } = it.getData();
    return textOf(call === "none" ? "–" : word(call) + (deadline ? ` ${clock(deadline).slice(0, 5)}` : ""), deadline ? `to be met by ${whole(deadline)}` : null);
  } },
  { title: "May", headerTooltip: "what the account may still do", field: "controls", minWidth: 90, widthGrow: 1, sorter: byOrder(CONTROLS), formatter: (it) => textOf(CONTROL_WORDS[it.getValue()] ?? word(it.getValue())) },
];

export function accountColumns(narrow) {
  return COLUMNS.filter((it) => it.narrow || !narrow).map(({ num, narrow: _, ...column }) => ({
    ...column, headerSort: true, headerSortTristate: true, resizable: false, ...(num ? { hozAlign: "right", headerHozAlign: "right", cssClass: "num" } : {}),
  }));
}

/** The row that an event of an account's margin shows, beside what the list said of it. */
export function rowOfEvent(event, known) {
  return {
    ...known,
    account: event.account, band: event.band, position: event.position, controls: event.controls, call: event.call, deadline_ns: event.deadline_ns,
    episode_id: event.episode_id, ratio: event.ratio, equity: event.equity, collateral_value: event.collateral_value,
    maintenance_margin: event.maintenance_margin, shortfall_to_call: event.shortfall_to_call,
    shortfall_to_liquidation: event.shortfall_to_liquidation, degraded: event.degraded, stopped: known?.stopped ?? false,
  };
}

/** Whether an event is about the pool that its account is listed by, or about a worse one. */
export const concernsRow = (event, known) => !known || known.position === event.position || severity(event.band) > severity(known.band);

/** The riskiest first: the order of the API, for rows that events moved since. */
export function riskiestFirst(one, other) {
  return severity(other.band) - severity(one.band) || byNumber(one.ratio, other.ratio) || (one.account < other.account ? -1 : 1);
}
