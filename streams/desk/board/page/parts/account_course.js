// How the account's shared pool went since its page was opened.

import { height, short, shown } from "./amounts.js";
import { TimeChart, thinned } from "./charts.js";
import { colour } from "./theme_switch.js";
import { make } from "./elements.js";
import { clock, millisecondsOf } from "./times.js";

const SAMPLES_MAX = 3600;

export class AccountCourse {
  #samples = [];
  #at = [];

  constructor(place, said) {
    this.said = said;
    this.chart = new TimeChart(place, {
      label: "Equity and maintenance margin of the account over time", value: short,
      series: () => [{ label: "equity", colour: colour("equity") }, { label: "maintenance margin", colour: colour("maintenance"), dash: [5, 3] }],
      said: (at) => this.#say(at),
    });
  }

  add(answer) {
    const pool = answer.data.pools[0];
    const time = millisecondsOf(answer.evaluated_at) / 1000;
    if (this.#samples.length && time === this.#samples.at(-1).time) return;
    // a recorded day was wound back
    while (this.#samples.length && time < this.#samples.at(-1).time) this.#samples.pop();
    this.#samples.push({ time, equity: pool.equity, maintenance: pool.maintenance_margin });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
    this.#at = thinned(this.#samples.length);
    const samples = this.#at.map((it) => this.#samples[it]);
    this.chart.show([samples.map((it) => it.time), samples.map((it) => height(it.equity)), samples.map((it) => height(it.maintenance))]);
    this.#say(null);
  }

  close() {
    this.chart.close();
  }

  #say(at) {
    const sample = at === null ? this.#samples.at(-1) : this.#samples[this.#at[at]];
    if (sample) this.said.replaceChildren(make("span", {}, `${shown(sample.equity)} / ${shown(sample.maintenance)} · ${clock(sample.time * 1e9)}`));
  }
}
