// What was said just now, the newest first: of accounts, liquidations, symbols, breakers, deleveraging.

import { shown } from "./amounts.js";
import { shape, word } from "./band_words.js";
import { accountLink, byId, make } from "./elements.js";
import { clock, whole } from "./times.js";

const LINES_MAX = 60;

export const typeWords = (type) => word(type.replace(/^(margin|engine)\./, "").replaceAll(".", " "));

export class SaidList {
  #ids = new Set();
  #waiting = [];
  #planned = false;

  constructor({ recorded }) {
    const why = recorded ? "Of a recorded day each account's page has what was said of it until then." : "Nothing yet since this page was opened.";
    byId("said").replaceChildren(make("li", { class: "dim" }, make("span", {}, ""), make("span", {}, why)));
  }

  hear(kind, { event }) {
    if (this.#ids.has(event.id) || event.type === "margin.explained") return;
    this.#ids.add(event.id);
    if (this.#ids.size > 4 * LINES_MAX) this.#ids.delete(this.#ids.values().next().value);
    this.#waiting.push([kind, event]);
    if (this.#waiting.length > LINES_MAX) this.#waiting.shift();
    if (this.#planned) return;
    this.#planned = true;
    // a cascade says thousands a second: nobody reads more than the newest of a quarter of a second
    setTimeout(() => this.#show(), 250);
  }

  #show() {
    this.#planned = false;
    const list = byId("said");
    if (!list.dataset.begun) {
      list.dataset.begun = "yes";
      list.replaceChildren();
    }
    list.prepend(...this.#waiting.splice(0).reverse().map(([kind, event]) => this.#line(kind, event)));
    while (list.children.length > LINES_MAX) list.lastElementChild.remove();
  }

  #line(kind, event) {
    const about = {
      symbol: () => [make("b", {}, event.outage?.symbol || "the feed"), `: ${typeWords(event.type)}, ${event.accounts} accounts`],
      breaker: () => [make("b", {}, `shard ${event.shard}`), `: ${typeWords(event.type)}${event.who ? ` by ${event.who}: ${event.why}` : ""}`],
      adl: () => [make("b", {}, event.symbol), `: deleveraging ${event.level}, before ${event.previous_level}`],
    }[kind] ?? (() => [make("span", { class: "band", "data-band": event.band }, make("i", { "aria-hidden": "true" }, shape(event.band))), " ", accountLink(event.account), ` ${typeWords(event.type)}`, event.ratio === null ? "" : make("span", { class: "dim num" }, ` ${shown(event.ratio, 3)}`)]);
    return make("li", { class: "appears" }, make("time", { class: "dim num", title: whole(event.time_ns) }, clock(event.time_ns)), make("span", {}, ...about()));
  }
}
