// The metagraph's table: sorted by its headings, searched, one button a neuron that opens its rounds.
import { $, alpha, count, el, share, short, tag } from "./dom.js";

const bar = (value, text) =>
  [text, el("span", { class: "bar-cell", "aria-hidden": "true" }, fillOf(value))];

function fillOf(value) {
  const inner = el("i");
  inner.style.width = `${Math.round(100 * Math.min(1, Math.max(0, value)))}%`;
  return inner;
}

const COLUMNS = [
  { name: "uid", of: (n) => n.uid, cell: (n) => String(n.uid) },
  { name: "hotkey", left: true, of: (n) => n.hotkey, cell: (n, page) => [
    el("button", { class: "link mono", type: "button", title: n.hotkey, onclick: () => page.open(n) }, short(n.hotkey)),
    n.hotkey === page.chain.owner ? tag("owner") : null,
    n.name ? el("span", { class: "sub", title: n.name }, n.name) : null] },
  { name: "role", left: true, of: (n) => Number(n.validator_permit), cell: (n) => (n.validator_permit ? tag("validator", "good") : tag("miner")) },
  { name: "stake α", of: (n) => n.stake_rao, cell: (n) => alpha(n.stake_rao) },
  { name: "incentive", of: (n) => n.incentive, cell: (n, page) => bar(n.incentive / page.most.incentive, share(n.incentive, 4)), zero: (n) => !n.incentive },
  { name: "consensus", of: (n) => n.consensus, cell: (n) => share(n.consensus, 4), zero: (n) => !n.consensus },
  { name: "vtrust", of: (n) => n.validator_trust, cell: (n) => share(n.validator_trust, 4), zero: (n) => !n.validator_trust },
  { name: "dividends", of: (n) => n.dividends, cell: (n) => share(n.dividends, 4), zero: (n) => !n.dividends },
  { name: "emission α", of: (n) => n.emission_rao, cell: (n) => alpha(n.emission_rao, 4), zero: (n) => !n.emission_rao },
  { name: "updated", of: (n, chain) => chain.block - n.last_update, cell: (n, page) => count(Math.max(0, page.chain.block - n.last_update)) },
  { name: "axon", left: true, of: (n) => n.axon ?? "", cell: (n) => (n.axon ? el("span", { class: "mono" }, n.axon) : "") },
];

export class Metagraph {
  constructor(open) {
    this.open = open;
    this.sorted = { column: 8, down: true };
    this.heads = COLUMNS.map((column, place) =>
      el("th", { scope: "col", class: column.left ? "left" : null }, el("button", { type: "button", onclick: () => this.sort(place) }, column.name)));
    $("neurons").tHead.replaceChildren(el("tr", {}, this.heads));
    $("search").addEventListener("input", () => this.draw());
    $("role").addEventListener("change", () => this.draw());
  }

  sort(place) {
    const { column, down } = this.sorted;
    this.sorted = { column: place, down: column === place ? !down : !COLUMNS[place].left && place > 0 };
    this.draw();
  }

  show(chain) {
    this.chain = chain;
    this.most = { incentive: Math.max(1e-9, ...chain.neurons.map((n) => n.incentive)) };
    this.draw();
  }

  draw() {
    if (!this.chain) return;
    const words = $("search").value.trim().toLowerCase();
    const role = $("role").value;
    const { column, down } = this.sorted;
    const value = (n) => COLUMNS[column].of(n, this.chain);
    const chosen = this.chain.neurons.filter((n) =>
      (role === "all" || (role === "validator") === n.validator_permit) &&
      (!words || [n.uid, n.hotkey, n.coldkey, n.name, n.axon ?? ""].some((text) => String(text).toLowerCase().includes(words))));
    chosen.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return (down ? -order : order) || a.uid - b.uid;
    });
    this.heads.forEach((head, place) =>
      place === column ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
    const kept = document.activeElement?.closest?.("#neurons tbody tr")?.dataset.hotkey;
    const rows = chosen.map((n) => this.row(n));
    if (!rows.length) rows.push(el("tr", {}, el("td", { class: "empty", colspan: COLUMNS.length }, this.chain.neurons.length ? "No neuron matches." : "No neurons yet.")));
    $("neurons").tBodies[0].replaceChildren(...rows);
    if (kept) rows.find((row) => row.dataset.hotkey === kept)?.querySelector("button")?.focus({ preventScroll: true });
    $("neurons-note").textContent = chosen.length === this.chain.neurons.length ? "" : `${chosen.length} of ${this.chain.neurons.length} neurons`;
  }

  row(n) {
    const cells = COLUMNS.map((column, place) =>
      el(place ? "td" : "th", { scope: place ? null : "row", class: [column.left ? "left" : "", column.zero?.(n) ? "zero" : ""].join(" ").trim() || null }, column.cell(n, this)));
    const made = el("tr", {}, cells);
    made.dataset.hotkey = n.hotkey;
    return made;
  }
}
