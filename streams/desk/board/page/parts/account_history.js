// What was said of the account: both topics by time, the newest first, and live from then on.

import { exactly, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { bandMark } from "./band_words.js";
import { cell, make, replace, table } from "./elements.js";
import { typeWords } from "./said_list.js";
import { whole } from "./times.js";

const TOPICS = ["margin-events", "liquidations"];
const PAGE = 500;
const PAGES_MAX = 10;
const SHOWN_MAX = 300;
const COLUMNS = [["When", ""], ["What", ""], ["Band", ""], ["Ratio", "num"], ["Equity", "num"], ["Id", ""]];

export class AccountHistory {
  #events = new Map();
  #newest = Object.fromEntries(TOPICS.map((it) => [it, 0]));
  #missing = false;

  constructor(place, account) {
    Object.assign(this, { place, account });
  }

  async load() {
    for (const topic of TOPICS) {
      for (let page = 0; page < PAGES_MAX; page += 1) {
        const { events, missing } = (await ask("/events", { query: { account: this.account, topic, since: this.#newest[topic], limit: PAGE } })).data;
        this.#missing ||= missing && this.#newest[topic] === 0;
        for (const it of events) this.#take({ topic, event: it.event });
        if (events.length < PAGE) break;
      }
    }
    this.#show();
  }

  hear(told) {
    // only what follows on the last one: a gap is asked for
    if (told.event.sequence === this.#newest[told.topic] + 1) {
      this.#take(told);
      this.#show();
    }
  }

  #take({ topic, event }) {
    this.#newest[topic] = Math.max(this.#newest[topic], event.sequence);
    this.#events.set(`${topic} ${event.sequence}`, event);
  }

  #show() {
    const events = [...this.#events.values()].sort((one, other) => other.time_ns - one.time_ns || other.sequence - one.sequence);
    if (!events.length) {
      replace(this.place, make("p", { class: "empty" }, this.#missing ? "What was said of it is no longer in the API's memory: `unimargin events tail` reads the topics." : "Nothing was ever said of it: it is healthy, and always was."));
      return;
    }
    const older = events.splice(SHOWN_MAX).length;
    const rows = events.map((it) => make("tr", {},
      cell(whole(it.time_ns), "time dim"), cell(typeWords(it.type), null, it.links ? Object.values(it.links).join(" ") : null),
      cell(bandMark(it.band)), cell(it.ratio === null ? "–" : shown(it.ratio, 3), "num", it.ratio), cell(shown(it.equity), "num", exactly(it.equity, 40)), cell(it.id, "dim")));
    replace(this.place, table("Events of the account, the newest first", COLUMNS, rows), ...(this.#missing || older ? [make("p", { class: "empty" }, `Older ones are not shown: the topics margin-events and liquidations hold them.`)] : []));
  }
}
