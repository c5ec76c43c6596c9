// Scores and emission over time, drawn by uPlot; redrawn whole on a new theme or size, fed otherwise.
/* global uPlot */
import { $, clock, dark, el } from "./dom.js";

const COLOURS = {
  light: ["#2153c9", "#c2410c", "#0f766e", "#a21caf", "#4d7c0f", "#b91c1c", "#0369a1", "#6b4f2a"],
  dark: ["#8fb4ff", "#fdae6b", "#5eead4", "#e6a5f0", "#b7e07a", "#ff9c94", "#7dd3fc", "#d9bf94"],
};
const DASHES = [[], [7, 4]]; // lines differ by more than their colour
const HIGH = 225;

export class Chart {
  constructor(id, { time, digits, empty }) {
    Object.assign(this, { box: $(id), time, digits, empty, key: "" });
    new ResizeObserver(() => this.plot && this.plot.setSize({ width: this.box.clientWidth, height: HIGH })).observe(this.box);
  }

  /** names and lines by series; x ascending. */
  show(names, x, lines) {
    this.last = [names, x, lines];
    if (!x.length || !lines.length) { this.drop(el("p", { class: "empty" }, this.empty)); return; }
    const key = `${names.join()}|${dark()}`;
    const data = [x, ...lines];
    if (this.plot && key === this.key) { this.plot.setData(data); return; }
    this.drop();
    this.key = key;
    this.plot = new uPlot(this.options(names), data, this.box);
  }

  again() { if (this.last) { this.key = ""; this.show(...this.last); } }

  drop(...instead) {
    this.plot?.destroy();
    this.plot = null;
    this.box.replaceChildren(...instead);
  }

  options(names) {
    const style = getComputedStyle(document.documentElement);
    const colours = COLOURS[dark() ? "dark" : "light"];
    const axis = { stroke: style.getPropertyValue("--soft"), grid: { stroke: style.getPropertyValue("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const newest = (u, series) => u.data[series].findLast((one) => one !== null) ?? null; // while nothing is pointed at
    const shown = (u, value, series) => {
      const one = value ?? newest(u, series);
      return one === null ? "–" : one.toFixed(this.digits);
    };
    const when = (u, value) => {
      const one = value ?? newest(u, 0);
      return one === null ? "–" : this.time ? clock(one) : String(one);
    };
    const marks = (u, splits) => splits.map((one) => (this.time ? clock(one) : one.toLocaleString("en")));
    return {
      width: this.box.clientWidth, height: HIGH,
      scales: { x: { time: this.time }, y: { range: (u, low, high) => [0, Math.max(high * 1.08, 1e-6)] } },
      axes: [{ ...axis, size: 32, space: 84, values: marks }, { ...axis, size: 54 }],
      cursor: { points: { size: 6 }, drag: { x: true, y: false } },
      series: [
        { label: this.time ? "time" : "block", value: when },
        ...names.map((label, i) => ({
          label, width: 1.8, spanGaps: true, stroke: colours[i % colours.length],
          dash: DASHES[Math.floor(i / 4) % 2], points: { show: false }, value: shown,
        })),
      ],
    };
  }
}
