// The overview: totals, pools that need attention, charts, all pools, and events.

import { Chart } from "./chart.js";
import { arrange, el, say } from "./dom.js";
import { number, split, took } from "./format.js";
import { Stream } from "./happening.js";
import { ends, gravity } from "./model.js";
import { Tile } from "./tile.js";

const BUDGET = 8; // milliseconds of a frame for tiles; the rest follow in the next frames
const FIRST = 25; // the same for the first display, which should be complete soon
const SHOWN = 60; // events
const FEW = 12; // up to this number of pools, charts are larger

const SUMS = [
  ["cloned today", "VMs cloned since midnight, by the server's clock", ({ today }) => number(today.cloned)],
  ["average clone", "The mean time that a clone took today", ({ today }) => (today.clone_average === null ? "–" : took(today.clone_average))],
  ["capacity", "Ready VMs, of as many as all pools should have", ({ sums }) => (sums.capacity === null ? "–" : `${number(sums.capacity)} %`)],
  ["total", "All VMs: pending, ready, running, and completed ones that are not yet destroyed", ({ sums }) => number(sums.total)],
  ["ready", "VMs that run, answer, and wait to be checked out", ({ sums }) => number(sums.ready)],
  ["cloning", "VMs whose clone is under way", ({ sums }) => number(sums.cloning)],
  ["booting", "VMs that are cloned and do not answer yet", ({ sums }) => number(sums.booting)],
  ["running", "VMs that are checked out", ({ sums }) => number(sums.running)],
  ["completed", "VMs that are finished with, and about to be destroyed", ({ sums }) => number(sums.completed)],
];

export class Overview {
  constructor(model) {
    Object.assign(this, { model, tiles: new Map(), dirty: new Set(), words: [], drawn: 0, grouped: "" });
    this.sums = SUMS.map(([name, about, value]) => ({ value, node: el("b") , name, about }));
    const cells = this.sums.map(({ name, about, node }) => el("div", { tabindex: 0, hint: about }, el("dd", {}, node), el("dt", {}, name)));
    this.running = new Chart({ kind: "stack", title: "Running VMs", about: "VMs that are checked out, by platform: what precedes the first hyphen of a pool's name", blank: "No samples yet: one is taken each minute" });
    this.cloned = new Chart({ kind: "bars", days: true, title: "Cloned a day", about: "VMs cloned on each of the last seven days, by platform", blank: "No VM was cloned this week" });
    this.took = new Chart({ kind: "lines", days: true, digits: 1, unit: " s", title: "Seconds to clone and boot", about: "For each of the last seven days the mean seconds of a clone, and from its order until the VM was ready", blank: "No VM was cloned this week" });
    this.stream = new Stream(SHOWN);
    this.alarms = el("div.tiles");
    this.alarmed = el("span.badge");
    this.urgent = el("section.urgent", { hidden: true, "aria-label": "Pools that need attention" }, el("h2", {}, "Needs attention ", this.alarmed), this.alarms);
    this.grid = el("div.tiles");
    this.many = el("small");
    this.blank = el("p.blank", { hidden: true });
    this.heading = el("h2", {}, "Pools ", this.many);
    this.node = el("div.overview", {},
      el("h1.unseen", { tabindex: -1 }, "All pools"),
      el("div.body", {},
        el("dl.sums", {}, cells), this.urgent,
        el("section.charts", { "aria-label": "How it was" }, this.running.node, this.cloned.node, this.took.node),
        el("section.pools", { "aria-label": "Pools" }, this.heading, this.blank, this.grid)),
      el("aside.side", { "aria-label": "Events" }, el("h2", {}, "Events ", el("a.more", { href: "#/events" }, "all")), this.stream.node));
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  /** Shows what changed. Returns true when more frames are needed. */
  update(changes) {
    const { model } = this;
    if (changes.all) this.syncTiles();
    const redraw = changes.all || changes.history;
    for (const name of redraw ? this.tiles.keys() : changes.pools) this.dirty.add(name);
    if (changes.reset) this.stream.replace(model.events, model.now());
    else if (changes.events.length) this.stream.add(changes.events, model.now());
    const sums = model.sums();
    for (const { node, value } of this.sums) say(node, value({ sums, today: model.today }));
    if (redraw || changes.week || Date.now() - this.drawn > 1000) this.charts(redraw || changes.week);
    return this.work();
  }

  /** Adds entries for new pools, and removes the tiles of pools that no longer exist. */
  syncTiles() {
    for (const name of this.tiles.keys()) if (!this.model.rows.has(name)) this.tiles.delete(name);
    for (const name of this.model.rows.keys()) if (!this.tiles.has(name)) this.tiles.set(name, null);
  }

  work() {
    const end = performance.now() + (this.built ? BUDGET : FIRST);
    for (const name of this.dirty) {
      if (performance.now() > end) break;
      this.dirty.delete(name);
      if (!this.tiles.has(name)) continue;
      const tile = this.tiles.get(name) ?? new Tile(name, this.model);
      this.tiles.set(name, tile);
      tile.show();
    }
    this.built ||= !this.dirty.size;
    this.group();
    return this.dirty.size > 0;
  }

  /** Sorts the tiles: pools with problems first, by weight. */
  group() {
    const rows = [...this.model.rows.values()].filter((row) => this.tiles.get(row.name)?.fits(this.words));
    const urgent = rows.filter((row) => gravity(row)).sort((a, b) => gravity(b) - gravity(a));
    const calm = rows.filter((row) => !gravity(row));
    const key = [urgent, calm].map((group) => group.map(({ name }) => name).join()).join(";");
    if (key !== this.grouped) {
      this.grouped = key;
      const nodes = (group) => group.map(({ name }) => this.tiles.get(name).node);
      arrange(this.alarms, nodes(urgent));
      arrange(this.grid, nodes(calm));
      this.urgent.hidden = !urgent.length;
      say(this.alarmed, String(urgent.length));
    }
    const all = this.model.rows.size;
    this.node.classList.toggle("few", all <= FEW);
    say(this.many, this.words.length ? `${rows.length} of ${all} match` : String(all));
    this.blank.hidden = rows.length > 0 || this.dirty.size > 0;
    if (!this.blank.hidden) say(this.blank, all ? "No pool matches this filter. If it is the name of a VM, press Enter." : "No pools are configured");
  }

  filter(text) {
    this.words = split(text);
    this.group();
  }

  /** The names of the pools that match a filter. */
  fitting(text) {
    const words = split(text);
    return [...this.tiles.values()].filter((tile) => tile?.fits(words)).map(({ name }) => name);
  }

  /** The tile of a pool, which gets the focus after a return to the overview. */
  back(name) {
    return this.tiles.get(name)?.node;
  }

  charts(week) {
    this.drawn = Date.now();
    const { model } = this;
    const names = model.platforms();
    const family = (platform) => (names.includes(platform) ? platform : "other");
    const empty = () => new Map(names.map((name) => [name, null]));
    const now = empty();
    for (const { platform, running } of model.rows.values()) now.set(family(platform), (now.get(family(platform)) ?? 0) + running);
    const times = model.history ? [...ends(model.history), model.now()] : [model.now()];
    const past = new Map(names.map((name) => [name, new Array(times.length - 1).fill(null)]));
    for (const [name, { running }] of Object.entries(model.history?.pools ?? {})) {
      const sum = past.get(family(model.rows.get(name)?.platform));
      if (sum) running.forEach((value, at) => { if (value !== null) sum[at] = (sum[at] ?? 0) + value; });
    }
    const series = names.map((name, at) => ({ name, style: `s${at}`, now: now.get(name), values: [...past.get(name), now.get(name)] }));
    this.running.show({ times, series });
    if (!week) return;
    const days = model.week.map(({ date }) => new Date(`${date}T12:00`).getTime() / 1000);
    const cloned = names.map((name, at) => ({ name, style: `s${at}`, values: model.week.map(() => 0) }));
    model.week.forEach(({ platforms }, day) => {
      for (const [platform, many] of Object.entries(platforms)) {
        const series = cloned[names.indexOf(family(platform))];
        if (series) series.values[day] += many;
      }
    });
    this.cloned.show({ times: days, series: model.week.some((day) => day.cloned) ? cloned : [] });
    const means = (name, member, style) => ({ name, style, values: model.week.map((day) => day[member]) });
    this.took.show({ times: days, series: [means("clone", "clone_average", "s0"), means("until ready", "boot_average", "s1")] });
  }

  /** Arrow keys move the focus between tiles. */
  key(event) {
    const tile = event.target.closest(".tile");
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 0, ArrowUp: 0 }[event.key];
    if (!tile || step === undefined) return;
    const all = [...this.node.querySelectorAll(".tile")];
    const across = Math.max(1, all.filter((each) => each.parentNode === tile.parentNode && each.offsetTop === tile.offsetTop).length);
    const to = all[all.indexOf(tile) + (step || (event.key === "ArrowDown" ? across : -across))];
    event.preventDefault();
    to?.focus();
  }

}
