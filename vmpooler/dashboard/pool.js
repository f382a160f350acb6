// The page of a pool: its charts, its VMs by queue, its events and its settings.

import { checkOut, may } from "./action.js";
import { Chart } from "./chart.js";
import { arrange, el, say, set } from "./dom.js";
import { number, span } from "./format.js";
import { Stream, vmLink } from "./happening.js";
import { ends, fullness, level, troubles, WORDS } from "./model.js";
import { Gauge } from "./tile.js";
import { Loader } from "./loader.js";

const QUEUES = {
  running: "Checked out by a client",
  ready: "They run, answer, and wait to be checked out",
  pending: "Being cloned or booting",
  completed: "Finished with, and about to be destroyed",
  discovered: "In the inventory, in no queue: not explained yet",
};
const MOST = 100; // VMs of a queue that are shown until the user asks for all
const COLUMNS = ["VM", "Age", "In this queue", "Owner", "Time left", "Tags"]; // the last three: of running VMs only

const SETTINGS = {
  alias: ["Aliases", (names) => names.join(", ") || "none"],
  size: ["Size", (size) => `${number(size)} ready VMs`],
  template: ["Template"], folder: ["Folder"], datastore: ["Datastore"], provider: ["Provider"], clone_target: ["Clone target"],
  timeout: ["Timeout", (minutes) => `${span(minutes * 60)} for a VM to become ready`],
  ready_ttl: ["Ready VMs stay fresh", (minutes) => (minutes ? span(minutes * 60) : "for ever")],
  probe_port: ["Port that must answer"],
};

/** The VMs of one queue. */
class QueueTable {
  constructor(name) {
    Object.assign(this, { name, rows: new Map(), whole: false, vms: [] });
    this.columns = name === "running" ? COLUMNS : [...COLUMNS.slice(0, 3), ""];
    this.many = el("small");
    this.body = el("tbody");
    this.more = el("button.small", { type: "button", hidden: true, onclick: () => { this.whole = true; this.fill(); } });
    this.node = el("section.queue", { "aria-label": `${name} VMs` }, el("h3", { hint: QUEUES[name] }, name, " ", this.many),
      el("table.vms", {}, el("thead", {}, el("tr", {}, this.columns.map((column) => el("th", { scope: "col" }, column)))), this.body), this.more);
  }

  show(vms, count, asOf) {
    Object.assign(this, { vms, count, asOf });
    this.fill();
  }

  fill() {
    const shown = this.whole ? this.vms : this.vms.slice(0, MOST);
    const rows = shown.map((vm) => this.rows.get(vm.name) ?? this.row(vm));
    this.rows = new Map(shown.map((vm, at) => [vm.name, rows[at]]));
    shown.forEach((vm, at) => Object.assign(rows[at], { vm }));
    arrange(this.body, rows.map(({ node }) => node));
    this.node.hidden = !this.count;
    say(this.many, String(this.count));
    this.more.hidden = shown.length === this.vms.length;
    say(this.more, `Show ${this.vms.length} of ${this.count}`);
    this.tick(this.asOf);
  }

  row(vm) {
    const cells = this.columns.slice(1).map((column) => el("td", { "data-label": column }));
    return { vm, cells, node: el("tr", {}, el("th", { scope: "row" }, vmLink(vm.name)), cells) };
  }

  /** Updates the times to `now`. */
  tick(now) {
    const passed = Math.max(0, now - this.asOf);
    for (const { vm, cells, node } of this.rows.values()) {
      const [age, since, owner, left, tags] = cells;
      const time = (seconds) => (seconds === null ? "" : span(seconds + passed));
      say(age, time(vm.age));
      say(since, `${time(vm.since)}${vm.missing && this.name !== "running" ? " (missing)" : ""}`);
      if (this.name !== "running") continue;
      say(owner, vm.missing ? `${vm.owner ?? ""} (missing)` : vm.owner ?? "");
      say(left, vm.remaining === null ? "for ever" : remaining(vm.remaining - passed));
      set(left, "class", vm.remaining !== null && vm.remaining - passed < 3600 ? "soon" : null);
      set(node, "class", vm.missing ? "bad" : null);
      say(tags, Object.entries(vm.tags).map(([name, value]) => `${name}: ${value}`).join(", "));
    }
  }
}

/** Time left, as text. */
export const remaining = (seconds) => (seconds > 0 ? span(seconds) : `${span(-seconds)} overdue`);

export class PoolView {
  constructor(model, name, range) {
    Object.assign(this, { model, name, range, detail: null, past: null });
    this.gauge = new Gauge();
    this.full = el("b");
    this.about = el("span");
    this.reasons = el("ul.reasons");
    this.act = el("div.acts");
    this.counts = new Chart({ kind: "lines", title: "Ready, running and pending", about: "How many of the pool's VMs stood in which queue", blank: "No samples yet: one is taken each minute" });
    this.taken = new Chart({ kind: "bars", title: "Checkouts", about: "How many VMs were checked out in each step", blank: "No samples yet: one is taken each minute" });
    this.queues = Object.keys(QUEUES).map((queue) => new QueueTable(queue));
    this.stream = new Stream(50, { pool: name });
    this.settings = el("dl.facts");
    this.blank = el("p.blank", {}, "Loading…");
    this.vms = el("section.vms", { "aria-label": "VMs" }, el("h2", {}, "VMs"), this.blank, this.queues.map(({ node }) => node));
    this.node = el("div.detail", {},
      el("header.head", {}, el("a.back", { href: "#/" }, "All pools"), this.gauge.node, el("h1", { tabindex: -1 }, name),
        el("p", {}, this.full, " ", this.about), this.act, this.reasons),
      el("div.body", {}, el("section.charts.two", { "aria-label": "How it was" }, this.counts.node, this.taken.node), this.vms,
        el("section", { "aria-label": "Settings" }, el("h2", {}, "Settings"), this.settings)),
      el("aside.side", {}, el("h2", {}, "Events"), this.stream.node));
    for (const queue of this.queues) queue.node.hidden = true;
    this.loader = new Loader(() => `pools/${encodeURIComponent(name)}`, (detail) => this.load(detail), (error) => this.detail || say(this.blank, error.message));
    this.history = new Loader(() => `history?range=${this.range}&pool=${encodeURIComponent(name)}`, (past) => { this.past = past; this.charts(); });
    this.loader.ask();
    this.history.ask();
  }

  close() {
    this.loader.stop();
    this.history.stop();
  }

  update(changes) {
    if (changes.history) this.history.ask();
    const mine = changes.events.some(({ pool }) => pool === this.name);
    if (changes.all || mine || changes.pools.has(this.name)) {
      this.row();
      this.loader.ask();
    }
    return false;
  }

  row() {
    const row = this.model.rows.get(this.name) ?? this.detail?.pool;
    if (!row) return;
    const full = fullness(row);
    set(this.node, "data-level", level(row));
    this.gauge.show(full);
    say(this.full, full === null ? "–" : `${number(full)} %`);
    say(this.about, [`(${number(row.ready)}/${number(row.size)} ready)`, WORDS[level(row)], `${number(row.running)} running`, `${number(row.pending)} pending`].filter(Boolean).join(" · "));
    const found = troubles(row);
    if (found.join("\n") !== this.found) this.reasons.replaceChildren(...found.map((text) => el("li", {}, text)));
    this.found = found.join("\n");
    this.permit();
    this.charts();
  }

  permit() {
    const allowed = may(this.model);
    if (this.allowed === allowed) return;
    this.allowed = allowed;
    this.act.replaceChildren(allowed ? el("button.main", { type: "button", onclick: () => checkOut(this.name) }, "Check out a VM")
      : el("small", {}, "With a token you can check out a VM here"));
  }

  load(detail) {
    const fresh = !this.detail;
    this.detail = detail;
    this.queues.forEach((queue) => queue.show(detail.queues[queue.name], detail.counts[queue.name], detail.now));
    this.blank.hidden = Object.values(detail.counts).some((many) => many > 0);
    say(this.blank, "There are no VMs");
    this.stream.replace(detail.events, this.model.now());
    if (fresh) {
      const shown = Object.entries(SETTINGS).filter(([name]) => detail.settings[name] !== null && detail.settings[name] !== "");
      this.settings.replaceChildren(...shown.flatMap(([name, [label, words]]) =>
        [el("dt", {}, label), el("dd", {}, words ? words(detail.settings[name]) : String(detail.settings[name]))]));
    }
    this.row();
  }

  charts() {
    const { past, model } = this;
    const row = model.rows.get(this.name);
    const kept = past?.pools[this.name];
    if (!kept || !row) return;
    const queues = [["ready", "s1"], ["running", "s0"], ["pending", "s4"]];
    const series = queues.map(([name, style]) => ({ name, style, now: row[name], values: [...kept[name], row[name]] }));
    this.counts.show({ times: [...ends(past), model.now()], series, ceiling: row.size ? { name: `size ${row.size}`, value: row.size } : null });
    this.taken.show({ times: ends(past), series: [{ name: "checkouts", style: "s0", values: kept.checkouts }] });
  }

  tick(now) {
    for (const queue of this.queues) if (!queue.node.hidden) queue.tick(now);
  }
}
