// One miner: its neuron on the chain, its score, its rounds, and the receipts of its replies, verified by the server.
import { $, alpha, clock, count, el, moment, percent, share, short, table, tag } from "./dom.js";

async function ask(path) {
  const reply = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await reply.json();
  if (!reply.ok) throw new Error([body.error, body.remedy].filter(Boolean).join(" "));
  return body;
}

const pairs = (entries) => el("dl", { class: "tiles" }, entries.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

export class Drill {
  constructor() {
    this.asked = 0;
    $("drill-close").addEventListener("click", () => $("drill").close());
    $("drill").addEventListener("click", (event) => { if (event.target === $("drill")) $("drill").close(); });
  }

  async open(title, path, draw, before = []) {
    const turn = ++this.asked;
    $("drill-title").textContent = title;
    $("drill-body").replaceChildren(...before, el("p", { class: "note" }, "reading the ledger"));
    if (!$("drill").open) $("drill").showModal();
    let drawn;
    try {
      drawn = draw(await ask(path));
    } catch (error) {
      drawn = [el("p", { class: "notice" }, error.message)];
    }
    if (turn === this.asked) $("drill-body").replaceChildren(...before, ...drawn);
  }

  neuron(n) {
    const before = [
      el("p", { class: "note" }, `hotkey ${n.hotkey}, coldkey ${n.coldkey}${n.name ? `, ${n.name}` : ""}`),
      pairs([["Stake α", alpha(n.stake_rao)], ["Incentive", share(n.incentive, 4)], ["Emission α", alpha(n.emission_rao, 4)], ["Registered in block", count(n.registered)]]),
    ];
    return this.open(`uid ${n.uid}: ${short(n.hotkey)}`, `/api/miner/${encodeURIComponent(n.hotkey)}`, (found) => this.account(found), before);
  }

  account(found) {
    const good = found.receipts.filter((one) => one.problem === null).length;
    const byRound = new Map(found.contributions.map((one) => [one.round, one]));
    return [
      pairs([
        ["Moving score", found.moving === null ? "none" : share(found.moving, 4)],
        ["Share of all scores", percent(found.share)],
        ["Weight set last", found.weight.block === null ? "none" : percent(found.weight.share)],
        ["Receipts verified", `${good} of ${found.receipts.length}`],
      ]),
      el("p", { class: "note" }, `By validator ${short(found.validator)}. `, found.holds === null ? "" : found.holds ? "Each moving score follows from the one before." : "The moving scores do not follow from each other."),
      el("h3", {}, "Rounds"),
      table([
        ["round", (r) => el("button", { class: "link", type: "button", onclick: () => this.round(r.round) }, String(r.round)), "left"],
        ["kind", (r) => r.kind, "left"],
        ["ended", (r) => clock(r.ended)],
        ["score", (r) => share(r.score, 4)],
        ["moving", (r) => share(r.moving, 4)],
        ["part of the score", (r) => { const one = byRound.get(r.round); return one && one.weight !== null ? percent(one.weight) : ""; }],
        ["reply s", (r) => share(r.elapsed)],
        ["failure", (r) => r.reason ?? r.error ?? "", "left wrap"],
      ], found.rounds, "It was part of no round that is kept.", "Rounds of this miner"),
      el("h3", {}, "Receipts"),
      table([
        ["round", (r) => String(r.round), "left"],
        ["", (r) => (r.problem === null ? tag("verified", "good") : tag("not valid", "bad")), "left"],
        ["signed", (r) => (r.time ? moment(r.time) : "")],
        ["receipt sha256", (r) => el("span", { class: "mono", title: r.digest }, r.digest.slice(0, 16)), "left"],
        ["reply sha256", (r) => el("span", { class: "mono", title: r.response }, r.response.slice(0, 16)), "left"],
        ["problem", (r) => r.problem ?? "", "left wrap"],
      ], found.receipts, "No receipts are kept of these rounds.", "Receipts of this miner"),
    ];
  }

  round(number) {
    return this.open(`Round ${number}`, `/api/round/${number}`, (found) => [
      el("p", { class: "note" }, `${found.kind}, by block ${found.block}, ended ${moment(found.ended)} after ${found.seconds} s; ${found.answered} of ${found.asked} answered.`),
      found.error ? el("p", { class: "notice" }, found.error) : null,
      table([
        ["uid", (r) => String(r.uid), "left"],
        ["hotkey", (r) => el("span", { class: "mono", title: r.hotkey }, short(r.hotkey)), "left"],
        ["score", (r) => share(r.score, 4)],
        ["moving", (r) => share(r.moving, 4)],
        ["reply s", (r) => share(r.elapsed)],
        ["failure", (r) => r.reason ?? "", "left wrap"],
      ], found.results, "Nobody was asked.", "Results of the round"),
    ].filter(Boolean));
  }
}
