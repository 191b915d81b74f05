// The book over time: how many accounts are in trouble, by band, one upon the other; and what all have against what they need.

import { height, short, shown } from "./amounts.js";
import { ask } from "./asking.js";
import { BANDS, shape, word } from "./band_words.js";
import { TimeChart, thinned } from "./charts.js";
import { byId, make } from "./elements.js";
import { colour } from "./theme_switch.js";
import { clock } from "./times.js";

const SHOWN = BANDS.slice(1).reverse(); // the worst lies at the bottom
const SAMPLES_MAX = 4000;

export class CourseCharts {
  course = { times: [], accounts: Object.fromEntries(BANDS.map((it) => [it, []])), equity: [], maintenance: [] };
  #at = [];

  constructor() {
    this.bands = new TimeChart(byId("course-bands"), {
      label: "Accounts that are not healthy, by band, over time", value: short,
      // the topmost sum first, so that the lower ones are drawn over it
      series: () => SHOWN.map((_, at) => SHOWN[SHOWN.length - 1 - at]).map((band) => ({ label: word(band), colour: colour(band), fill: `color-mix(in srgb, ${colour(band)} 60%, transparent)`, width: 1 })),
      said: (at) => this.#sayBands(at),
    });
    this.equity = new TimeChart(byId("course-equity"), {
      label: "Equity and maintenance margin of all accounts over time", value: short,
      series: () => [{ label: "equity", colour: colour("equity") }, { label: "maintenance margin", colour: colour("maintenance"), dash: [5, 3] }],
      said: (at) => this.#sayEquity(at),
    });
  }

  async load() {
    const { times } = this.course;
    const last = times.length ? times[times.length - 1] : 0;
    const answer = await ask("/course", { query: { since: last ? String(last) : null } });
    this.take(answer.data);
    return answer;
  }

  forget() {
    Object.assign(this.course, { times: [], accounts: Object.fromEntries(BANDS.map((it) => [it, []])), equity: [], maintenance: [] });
  }

  take(data) {
    const course = this.course;
    data.times_ns.forEach((time, at) => {
      if (course.times.length && time <= course.times[course.times.length - 1]) return;
      course.times.push(time);
      BANDS.forEach((band) => course.accounts[band].push(data.accounts[band][at]));
      course.equity.push(data.equity[at]);
      course.maintenance.push(data.maintenance_margin[at]);
    });
    const over = course.times.length - SAMPLES_MAX;
    if (over > 0) [course.times, course.equity, course.maintenance, ...Object.values(course.accounts)].forEach((it) => it.splice(0, over));
    this.#draw();
  }

  #draw() {
    const { times, accounts, equity, maintenance } = this.course;
    this.#at = thinned(times.length);
    const seconds = this.#at.map((it) => times[it] / 1e9);
    const sums = [];
    for (const band of SHOWN) {
      const below = sums[0];
      sums.unshift(this.#at.map((it, place) => accounts[band][it] + (below ? below[place] : 0)));
    }
    this.bands.show([seconds, ...sums]);
    this.equity.show([seconds, this.#at.map((it) => height(equity[it])), this.#at.map((it) => height(maintenance[it]))]);
    this.#sayBands(null);
    this.#sayEquity(null);
  }

  #sayBands(at) {
    const place = at === null ? this.course.times.length - 1 : this.#at[at];
    if (!(place >= 0)) return;
    const counts = BANDS.slice(1).map((band) => make("span", { class: "band", "data-band": band, title: word(band) }, make("i", {}, shape(band)), `${this.course.accounts[band][place]} `));
    byId("course-said").replaceChildren(...counts, ...(at === null ? [] : [clock(this.course.times[place])]));
  }

  #sayEquity(at) {
    const place = at === null ? this.course.times.length - 1 : this.#at[at];
    if (!(place >= 0)) return;
    const said = (name, text) => {
      const key = make("span", { class: "key" });
      key.style.setProperty("--hue", `var(--${name})`);
      return make("span", { title: `${name} ${shown(text)}` }, key, short(text), " ");
    };
    byId("equity-said").replaceChildren(said("equity", this.course.equity[place]), said("maintenance", this.course.maintenance[place]), ...(at === null ? [] : [clock(this.course.times[place])]));
  }
}
