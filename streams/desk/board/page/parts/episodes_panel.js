// The open episodes: from the event that opened each to the one that will resolve it.

import { exactly, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { bandMark, word } from "./band_words.js";
import { accountLink, byId, cell, make, replace, setText, table } from "./elements.js";
import { clock, whole } from "./times.js";

const SHOWN_MAX = 100;
const COLUMNS = [["Band", ""], ["Account", ""], ["Call", ""], ["Missing then", "num"], ["Until", "num"], ["Liquidation", ""]];

export async function loadEpisodes() {
  const answer = await ask("/episodes", { query: { limit: SHOWN_MAX } });
  const { items, total } = answer.data;
  setText(byId("episodes-said"), total > items.length ? `the worst ${items.length} of ${total.toLocaleString("en")}` : `${total}`);
  replace(byId("episodes"), items.length ? table("Open episodes, the worst bands first", COLUMNS, items.map(rowOf))
    : make("p", { class: "empty" }, "No episode is open: nobody is below a line of the policy."));
}

function rowOf(it) {
  const state = it.held_by !== null ? make("span", { class: "bad" }, `held by breaker ${it.held_by}`) : it.liquidation_id ? make("span", { title: it.liquidation_id }, "under way") : "";
  return make("tr", { title: `episode ${it.episode_id}, shard ${it.shard}` },
    cell(bandMark(it.band)),
    cell(make("span", {}, accountLink(it.account), make("span", { class: "dim" }, it.position ? ` · ${it.position}` : "")), "long"),
    cell(`${it.call === "none" ? "–" : word(it.call)}${it.expired ? ", expired" : ""}${it.degraded ? ", degraded" : ""}`),
    cell(it.called ? shown(it.called.outstanding) : "–", "num", it.called ? `${exactly(it.called.outstanding, 40)} when it was called, ${whole(it.called.time_ns)}` : null),
    cell(it.deadline_ns ? clock(it.deadline_ns) : "–", "num", it.deadline_ns ? whole(it.deadline_ns) : null),
    cell(state));
}
