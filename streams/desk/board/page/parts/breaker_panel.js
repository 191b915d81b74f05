// The breaker: which shards hold liquidations because too much was condemned at once, and the operator's word on them.

import { percent, short } from "./amounts.js";
import { ask } from "./asking.js";
import { word } from "./band_words.js";
import { includes } from "./caller.js";
import { accountLink, byId, make, replace, setText } from "./elements.js";
import { orderBreaker } from "./operator_order.js";
import { whole } from "./times.js";

export async function loadBreaker(caller) {
  const answer = await ask("/breaker");
  show(answer.data, caller);
}

let shown = "";

function show(shards, caller) {
  const open = shards.filter((it) => it.open);
  setText(byId("breaker-said"), shards.length ? `${shards.length} shards` : "");
  // as long as it says the same it stays: somebody may be on its buttons
  const now = JSON.stringify([open, caller.role]);
  if (now === shown) return;
  shown = now;
  if (open.length) replace(byId("breaker"), ...open.map((it) => held(it, caller)));
  else replace(byId("breaker"), make("p", { class: "empty" }, make("span", { class: "good" }, "● closed"), " – no liquidation is held. It opens where one cause condemns more than the policy's share at once; then an operator decides here."));
}

function held({ shard, state }, caller) {
  const { opening } = state;
  const cause = opening.cause;
  const moves = (cause.symbols ?? []).slice(0, 3).map((it) => `${it.symbol} ${short(it.before)} → ${short(it.price)}`).join(", ");
  const worst = opening.worst.slice(0, 4).flatMap((it) => [" ", accountLink(it.account)]);
  const act = (what) => () => orderBreaker(what, shard, caller);
  return make("div", { class: "held" },
    make("b", { class: "bad" }, `✖ shard ${shard} holds liquidations`), make("span", { class: "dim" }, ` opening ${opening.number}, since ${whole(cause.time_ns)}`),
    make("div", {}, `${(state.held?.accounts ?? 0).toLocaleString("en")} accounts held. ${opening.condemned.accounts.toLocaleString("en")} of ${opening.of.accounts.toLocaleString("en")} accounts condemned: ${percent(opening.share, 1)} by ${word(opening.limit)}, at most ${percent(opening.share_max, 1)}`),
    make("div", { class: "dim" }, `cause: ${word(cause.kind)}${moves ? ` – ${moves}` : ""}`),
    make("div", {}, "worst:", ...worst),
    make("div", { class: "row" },
      make("button", { type: "button", class: "harms", onclick: act("release") }, "Release…"),
      make("button", { type: "button", onclick: act("void") }, "Judge afresh…"),
      includes(caller.role, "operator") ? null : make("span", { class: "dim" }, "asks for an operator's key")));
}
