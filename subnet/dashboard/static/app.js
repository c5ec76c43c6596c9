// The page: what the server tells by events, and who draws it.
import { Chart } from "./charts.js";
import { $, alpha, clock, count, dark, el, fill, plural, share, short, span, tag } from "./dom.js";
import { Drill } from "./drill.js";
import { HeatMap } from "./heatmap.js";
import { Metagraph } from "./metagraph.js";

const LATE = 60; // seconds without a block after which the head counts as standing
const told = { chain: null, weights: null, emission: null, ledger: null, health: null };
const drill = new Drill();
const metagraph = new Metagraph((neuron) => drill.neuron(neuron));
const heat = new HeatMap();
const scores = new Chart("scores-chart", { time: true, digits: 4, empty: "No scores to draw yet." });
const emission = new Chart("emission-chart", { time: false, digits: 4, empty: "No emission read yet." });
let linked = false;

// Theme: the system's, until somebody chooses.
const system = matchMedia("(prefers-color-scheme: dark)");
const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
function theme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").setAttribute("aria-pressed", String(name === "dark"));
  heat.draw();
  scores.again();
  emission.again();
}
const asked = new URLSearchParams(location.search).get("theme");
theme(["light", "dark"].includes(asked) ? asked : remembered() ?? (system.matches ? "dark" : "light"));
system.addEventListener("change", () => { if (!remembered()) theme(system.matches ? "dark" : "light"); });
$("theme").addEventListener("click", () => {
  const name = dark() ? "light" : "dark";
  try { localStorage.setItem("theme", name); } catch { /* a page without storage forgets */ }
  theme(name);
});

function tiles() {
  const { chain, ledger, health } = told;
  if (!chain) return;
  const neurons = chain.neurons;
  const permits = neurons.filter((n) => n.validator_permit).length;
  const total = neurons.reduce((sum, n) => sum + n.emission_rao, 0);
  const entries = [];
  const add = (name, value, small) => entries.push(el("div", {}, el("dt", {}, name), el("dd", {}, value, el("small", {}, small))));
  if (chain.block !== undefined) {
    add("Block", count(chain.block), `tempo ${chain.tempo}`);
    add("Next epoch", chain.next_epoch === null ? "none" : plural(Math.max(0, chain.next_epoch - chain.block), "block"), chain.next_epoch === null ? "" : `in block ${count(chain.next_epoch)}`);
    add("Neurons", count(neurons.length), `${permits} with permit, ${neurons.filter((n) => n.axon).length} serving`);
    add("Emission α", alpha(total, 3), "in the last epoch");
  }
  if (ledger?.ok) {
    const last = ledger.rounds[0];
    add("Last round", last ? String(last.round) : "none", last ? `${last.answered} of ${last.asked} answered` : "");
    add("Weights set", ledger.weights_set ? count(ledger.weights_set.block) : "none", ledger.weights_set ? `at ${clock(ledger.weights_set.time)}` : "by this validator");
  }
  const probes = Object.values(health ?? {});
  if (probes.length) add("Health", `${probes.filter((one) => one.state === "well").length} of ${probes.length}`, "well, of those asked");
  $("tiles").replaceChildren(...entries);
}

function status() {
  const { chain } = told;
  let [text, kind, notice] = ["live", "good", ""];
  if (!linked) [text, kind, notice] = ["page offline", "bad", "The dashboard's own server does not answer; this page shows what it knew last."];
  else if (!chain || (!chain.ok && !chain.since)) [text, kind] = ["connecting", ""];
  else if (!chain.ok) {
    text = chain.seen ? `stale since ${clock(chain.since)}` : "chain unreachable";
    kind = "bad";
    notice = `${chain.problem}. ${chain.remedy ?? ""}${chain.seen ? " What is shown is from block " + count(chain.block) + "." : ""}`;
  } else if (Date.now() / 1000 - chain.seen > LATE) {
    [text, kind, notice] = [`no block for ${span(Date.now() / 1000 - chain.seen)}`, "warn", "The chain answers, but its head stands still."];
  }
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").className = `pill ${kind}`;
  if ($("notice").textContent !== notice) $("notice").textContent = notice;
  $("notice").hidden = !notice;
}

const STATES = { well: "good", loading: "warn", ill: "bad", silent: "bad" };

function health() {
  const { chain, health: probes } = told;
  if (!chain) return;
  const late = (n) => chain.block - n.last_update > 2 * chain.tempo;
  const probe = (n) => probes?.[String(n.uid)] ?? probes?.[n.hotkey];
  const rows = chain.neurons;
  fill($("health-table"), [
    ["uid", (n) => String(n.uid)],
    ["hotkey", (n) => el("button", { class: "link mono", type: "button", title: n.hotkey, onclick: () => drill.neuron(n) }, short(n.hotkey)), "left"],
    ["role", (n) => (n.validator_permit ? "validator" : "miner"), "left"],
    ["active", (n) => (n.active ? tag("active", "good") : tag("inactive", n.validator_permit ? "warn" : "")), "left"],
    ["axon", (n) => (n.axon ? tag("set", "good") : tag("not set", n.validator_permit ? "" : "warn")), "left"],
    ["last update", (n) => { const text = `${plural(Math.max(0, chain.block - n.last_update), "block")} ago`; return n.validator_permit && late(n) ? tag(text, "warn") : text; }],
    ["says of itself", (n) => { const one = probe(n); return one ? tag(`${one.state} for ${span(Date.now() / 1000 - one.since)}`, STATES[one.state]) : el("span", { class: "sub" }, "not asked"); }, "left"],
    ["trouble", (n) => (probe(n)?.troubles ?? []).map((t) => [t.name, t.reason, t.remedy].filter(Boolean).join(": ")).join("; "), "left wrap"],
  ], rows, "No neurons yet.");
  const asked = Object.values(probes ?? {});
  $("health-sum").textContent = asked.length ? `asked at /health and /ready: ${asked.length}` : "--health UID=URL asks a neuron itself";
}

function ledger() {
  const { ledger: found, chain } = told;
  const columns = [
    ["round", (r) => el("button", { class: "link", type: "button", onclick: () => drill.round(r.round) }, String(r.round)), "left"],
    ["kind", (r) => r.kind, "left"],
    ["ended", (r) => clock(r.ended)],
    ["seconds", (r) => share(r.seconds, 2)],
    ["block", (r) => count(r.block)],
    ["asked", (r) => String(r.asked)],
    ["answered", (r) => String(r.answered)],
    ["outcome", (r) => (r.error ? r.error : tag("ok", "good")), "left wrap"],
  ];
  if (!found?.ok) {
    $("ledger-note").textContent = found ? `No ledger: ${found.problem}. ${found.remedy}` : "";
    fill($("rounds-table"), columns, [], "Without a validator's ledger there are no rounds to show.");
    scores.show([], [], []);
    return;
  }
  const other = chain?.genesis && chain.genesis !== found.genesis ? " It is of another chain than the one shown here." : "";
  $("ledger-note").textContent = `From the ledger of validator ${found.validator}.${other}`;
  fill($("rounds-table"), columns, found.rounds, "No rounds yet.");
  scores.show(found.chart.uids.map((uid) => `uid ${uid}`), found.chart.times, found.chart.lines);
}

const draw = {
  chain() { $("netuid").textContent = String(told.chain.netuid); metagraph.show(told.chain); heat.show(told.chain, told.weights); health(); tiles(); },
  weights() { heat.show(told.chain, told.weights); },
  emission() {
    const { blocks, lines } = told.emission;
    emission.show(lines.map((line) => `uid ${line.uid}`), blocks, lines.map((line) => line.rao.map((rao) => (rao === null ? null : rao / 1e9))));
  },
  ledger() { ledger(); tiles(); },
  health() { health(); tiles(); },
};

const events = new EventSource("/api/events");
events.onopen = () => { linked = true; status(); };
events.onerror = () => { linked = false; status(); };
for (const topic of Object.keys(draw)) {
  events.addEventListener(topic, (event) => {
    told[topic] = JSON.parse(event.data);
    if (told[topic] !== null) draw[topic]();
    status();
  });
}
setInterval(() => { status(); }, 1000);
