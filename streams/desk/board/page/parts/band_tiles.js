// How many accounts are in each band now, and what that was a quarter of an hour ago. A tile filters the list.

import { BANDS, shape, word } from "./band_words.js";
import { byId, make, setText } from "./elements.js";
import { span } from "./times.js";

const BACK_NS = 900e9;

export class BandTiles {
  constructor(choose) {
    this.tiles = Object.fromEntries(BANDS.map((band) => [band, this.#tile(band, choose)]));
    byId("bands").append(...BANDS.map((band) => this.tiles[band].tile));
  }

  show(course) {
    const last = course.times.length - 1;
    if (last < 0) return;
    const from = Math.max(0, course.times.findIndex((it) => it >= course.times[last] - BACK_NS));
    for (const band of BANDS) {
      const { count, change } = this.tiles[band];
      const [now, then] = [course.accounts[band][last], course.accounts[band][from]];
      setText(count, now.toLocaleString("en"));
      const more = now - then;
      setText(change, `${more > 0 ? "+" : more < 0 ? "−" : "±"}${Math.abs(more).toLocaleString("en")} in ${span((course.times[last] - course.times[from]) / 1e9)}`);
    }
  }

  chosen(band) {
    for (const [name, { tile }] of Object.entries(this.tiles)) tile.setAttribute("aria-pressed", String(name === band));
  }

  #tile(band, choose) {
    const count = make("b", { class: "num" }, "–");
    const change = make("span", { class: "change num" }, "");
    const tile = make("button", { class: "tile", type: "button", "data-band": band, "aria-pressed": "false", title: `Only accounts in ${word(band)}`,
      onclick: () => choose(tile.getAttribute("aria-pressed") === "true" ? "" : band) },
    count, make("span", { class: "word" }, make("i", { "aria-hidden": "true" }, shape(band)), word(band)), change);
    return { tile, count, change };
  }
}
