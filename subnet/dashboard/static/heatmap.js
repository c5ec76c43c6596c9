// Validators by miners as a canvas, with a legend, a tooltip, and the same numbers as a table.
import { $, dark, el, percent, plural, short } from "./dom.js";

const LEFT = 58, TOP = 22;

/** One hue from the card's own colour to a strong blue; t from 0 to 1. */
function shade(t) {
  const [from, to] = dark() ? [[31, 41, 55], [147, 190, 255]] : [[237, 242, 250], [16, 62, 158]];
  return from.map((low, i) => Math.round(low + (to[i] - low) * Math.sqrt(t)));
}

const css = (colour) => `rgb(${colour.join(" ")})`;

/** Black or white, whichever is read better on a colour (WCAG's relative luminance, where both contrast alike: 0.179). */
function ink(colour) {
  const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

export class HeatMap {
  constructor() {
    this.rows = [];
    const canvas = $("heat");
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => ($("tip").hidden = true));
    $("heat-details").addEventListener("toggle", () => this.asTable());
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  show(chain, weights) {
    const neurons = chain?.neurons ?? [];
    const rows = (weights?.rows ?? []).map(([uid, pairs]) => {
      const total = pairs.reduce((sum, [, value]) => sum + value, 0) || 1;
      return { uid, shares: new Map(pairs.map(([target, value]) => [target, value / total])) };
    });
    const named = new Set(rows.flatMap((row) => [...row.shares.keys()]));
    const setters = new Set(rows.map((row) => row.uid));
    this.columns = neurons.map((n) => n.uid).filter((uid) => named.has(uid) || !(neurons[uid].validator_permit || setters.has(uid)));
    this.rows = rows;
    this.neurons = neurons;
    this.most = Math.max(1e-9, ...rows.flatMap((row) => [...row.shares.values()]));
    $("heat-note").textContent = rows.length
      ? `${plural(rows.length, "validator")} by ${plural(this.columns.length, "miner")}.`
      : "No validator has set weights that the chain shows (commits stay hidden until they are revealed).";
    this.draw();
    this.asTable();
  }

  draw() {
    const canvas = $("heat");
    if (!this.rows.length) { canvas.hidden = true; $("scale").replaceChildren(); return; }
    canvas.hidden = false;
    const room = canvas.parentElement.clientWidth - LEFT - 2;
    this.wide = Math.max(6, Math.min(110, Math.floor(room / this.columns.length)));
    this.high = Math.max(8, Math.min(34, Math.floor(420 / this.rows.length)));
    const width = LEFT + this.wide * this.columns.length + 1, height = TOP + this.high * this.rows.length + 1;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    Object.assign(canvas, { width: width * ratio, height: height * ratio });
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = style.getPropertyValue("--soft");
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const step = Math.ceil(26 / this.wide);
    this.columns.forEach((uid, x) => { if (x % step === 0) pen.fillText(String(uid), LEFT + this.wide * (x + 0.5), TOP / 2); });
    pen.textAlign = "right";
    const rowStep = Math.ceil(12 / this.high);
    this.rows.forEach((row, y) => {
      pen.fillStyle = style.getPropertyValue("--soft");
      if (y % rowStep === 0) pen.fillText(`uid ${row.uid}`, LEFT - 8, TOP + this.high * (y + 0.5));
      const gap = this.wide > 9 && this.high > 9 ? 1 : 0;
      this.columns.forEach((uid, x) => {
        const value = row.shares.get(uid) ?? 0;
        const colour = shade(value / this.most);
        pen.fillStyle = css(colour);
        pen.fillRect(LEFT + this.wide * x, TOP + this.high * y, this.wide - gap, this.high - gap);
        if (this.wide >= 44 && this.high >= 18 && value > 0) {
          pen.fillStyle = ink(colour);
          pen.textAlign = "center";
          pen.fillText(percent(value), LEFT + this.wide * (x + 0.5), TOP + this.high * (y + 0.5));
          pen.textAlign = "right";
        }
      });
    });
    canvas.setAttribute("aria-label", `Weights of ${this.rows.length} validators on ${this.columns.length} miners; the largest share is ${percent(this.most)}. The table below has the numbers.`);
    this.legend();
  }

  legend() {
    const ramp = el("canvas", { width: 160, height: 10 });
    const pen = ramp.getContext("2d");
    for (let x = 0; x < 160; x++) { pen.fillStyle = css(shade(x / 159)); pen.fillRect(x, 0, 1, 10); }
    $("scale").replaceChildren("0%", ramp, percent(this.most));
  }

  point(event) {
    const tip = $("tip");
    const box = $("heat").getBoundingClientRect();
    const uid = this.columns[Math.floor((event.clientX - box.left - LEFT) / this.wide)];
    const row = this.rows[Math.floor((event.clientY - box.top - TOP) / this.high)];
    if (uid === undefined || !row || event.clientX - box.left < LEFT) { tip.hidden = true; return; }
    const of = (who) => `uid ${who} ${short(this.neurons[who]?.hotkey ?? "?")}`;
    tip.textContent = `validator ${of(row.uid)}\nminer ${of(uid)}\n${percent(row.shares.get(uid) ?? 0)} of its weight`;
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  asTable() {
    if (!$("heat-details").open) return;
    const heads = [el("th", { scope: "col", class: "left" }, "validator"), ...this.columns.map((uid) => el("th", { scope: "col" }, `uid ${uid}`))];
    $("heat-table").tHead.replaceChildren(el("tr", {}, heads));
    $("heat-table").tBodies[0].replaceChildren(...this.rows.map((row) =>
      el("tr", {}, el("th", { scope: "row", class: "left" }, `uid ${row.uid}`), this.columns.map((uid) => el("td", { class: row.shares.has(uid) ? null : "zero" }, percent(row.shares.get(uid) ?? 0))))));
  }
}
