// Curves over time by uPlot: drawn anew when colours or the room for them change.

import uPlot from "../vendor/uPlot.esm.js";
import { colour, onColours } from "./theme_switch.js";

const FONT = '11px "Inter", "Segoe UI", system-ui, "DejaVu Sans", sans-serif';
const charts = new Set();

onColours(() => charts.forEach((it) => it.again()));

export class TimeChart {
  /** `series()`: [{label, colour, fill}] by what colours are now; `said(index)`: told where the cursor stands, null where nowhere. */
  constructor(place, { label, series, value, said = () => {}, bands = [] }) {
    Object.assign(this, { place, label, series, value, said, bands });
    this.data = [[], ...series().map(() => [])];
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", label);
    new ResizeObserver(() => this.#fit()).observe(place);
    charts.add(this);
  }

  show(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.again();
  }

  close() {
    charts.delete(this);
    this.plot?.destroy();
    this.plot = null;
  }

  again() {
    this.plot?.destroy();
    this.plot = null;
    const { width, height } = this.#room();
    if (width < 40 || this.data[0].length < 2) return;
    const [line, dim] = [colour("line"), colour("dim")];
    const axis = { stroke: dim, font: FONT, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width, height, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), legend: { show: false }, padding: [10, 12, 0, 0], bands: this.bands,
      cursor: { y: false, points: { size: 5 }, drag: { x: true, y: false } },
      axes: [{ ...axis, size: 26, values: "{HH}:{mm}:{ss}", space: 70, grid: { show: false } }, { ...axis, size: 52, values: (_, ticks) => ticks.map(this.value) }],
      scales: { y: { range: (_, low, high) => this.#range(low, high) } },
      series: [{}, ...this.series().map((it) => ({ label: it.label, stroke: it.colour, width: it.width ?? 1.4, fill: it.fill, dash: it.dash, points: { show: false } }))],
      hooks: { setCursor: [(plot) => this.said(plot.cursor.idx ?? null)] },
    }, this.data, this.place);
  }

  #range(low, high) {
    if (low === null || high === null) return [0, 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.02 || 1;
    return [low >= 0 && low < high * 0.7 ? 0 : low - room, high + room];
  }

  #room() {
    return { width: this.place.clientWidth, height: this.place.clientHeight };
  }

  #fit() {
    const { width, height } = this.#room();
    if (this.plot && width >= 40) this.plot.setSize({ width, height });
    else if (!this.plot) this.again();
  }
}

/** So many points at most, evenly: nobody sees more in a few hundred pixels. */
export function thinned(length, most = 900) {
  if (length <= most) return Array.from({ length }, (_, at) => at);
  return Array.from({ length: most }, (_, at) => Math.round((at * (length - 1)) / (most - 1)));
}
