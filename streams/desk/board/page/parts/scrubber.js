// A slider over the moments of a recorded day: whatever the page shows is asked of the moment that it stands at.

import { ask, askAt } from "./asking.js";
import { byId, make, setText } from "./elements.js";
import { colour, onColours } from "./theme_switch.js";
import { clock, day as dayOf } from "./times.js";

const STEP_MS = 400;
const SPEEDS = [1, 4, 16];

export class Scrubber {
  #playing = null;

  /** `moved` is called after questions are asked of another moment. */
  constructor(moved) {
    this.moved = moved;
  }

  async start() {
    this.day = (await ask("/day")).data;
    const last = this.day.times_ns.length - 1;
    this.label = make("output", { class: "num", for: "moment" });
    this.curve = make("canvas", { "aria-hidden": "true" });
    this.slider = make("input", { id: "moment", type: "range", min: 0, max: last, value: last, step: 1, "aria-label": "Moment of the recorded day", oninput: () => this.#go() });
    this.play = make("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, "▶ play");
    this.speed = make("select", { "aria-label": "Moments a step" }, ...SPEEDS.map((it) => make("option", { value: it }, `${it}×`)));
    const place = byId("scrubber");
    place.replaceChildren(this.play, this.speed, make("div", { class: "track-of-day" }, this.curve, this.slider), this.label);
    place.title = this.day.source;
    place.hidden = false;
    onColours(() => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(this.curve);
    this.#go();
  }

  #go() {
    const at = Number(this.slider.value);
    const time = this.day.times_ns[at];
    askAt(String(time));
    setText(this.label, `${dayOf(time)} ${clock(time)} UTC · ${this.day.unwell[at].toLocaleString("en")} not healthy`);
    this.slider.setAttribute("aria-valuetext", this.label.textContent);
    this.moved();
  }

  #toggle() {
    const playing = this.#playing === null;
    clearInterval(this.#playing);
    this.#playing = playing ? setInterval(() => this.#step(), STEP_MS) : null;
    this.play.setAttribute("aria-pressed", String(playing));
    setText(this.play, playing ? "❚❚ pause" : "▶ play");
    if (playing && this.slider.value === this.slider.max) this.slider.value = 0;
  }

  #step() {
    this.slider.value = Math.min(Number(this.slider.value) + Number(this.speed.value), Number(this.slider.max));
    this.#go();
    if (this.slider.value === this.slider.max) this.#toggle();
  }

  /** How many are not healthy over the day, behind the slider: where to look. */
  #draw() {
    const { clientWidth: width, clientHeight: height } = this.curve;
    if (!width) return;
    Object.assign(this.curve, { width, height });
    const pen = this.curve.getContext("2d");
    const { unwell } = this.day;
    const most = Math.max(...unwell, 1);
    pen.fillStyle = colour("reduce_only");
    unwell.forEach((it, at) => pen.fillRect((at * width) / unwell.length, height * (1 - it / most), Math.ceil(width / unwell.length), (height * it) / most));
  }
}
