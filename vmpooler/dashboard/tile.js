// A pool in the overview: its fill level now and over the time range, and its problems.

import { el, say, set, svg } from "./dom.js";
import { count, number, span, when } from "./format.js";
import { fullness, level, troubles, WORDS } from "./model.js";
import { sparkline } from "./shape.js";
import { explain } from "./tip.js";

const AROUND = 2 * Math.PI * 5; // circumference of the gauge

/** A circle filled to the fill level of a pool. */
export class Gauge {
  constructor() {
    this.arc = svg("circle.arc", { cx: 10, cy: 10, r: 5 });
    this.node = svg("svg.gauge", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("circle.rim", { cx: 10, cy: 10, r: 8.5 }), this.arc);
  }

  show(full) {
    const part = (Math.min(100, full ?? 0) / 100) * AROUND;
    set(this.arc, "stroke-dasharray", `${part.toFixed(1)} ${AROUND.toFixed(1)}`);
  }
}

export class Tile {
  constructor(name, model) {
    Object.assign(this, { name, model });
    this.gauge = new Gauge();
    this.word = el("span.word");
    this.percent = el("span");
    this.about = el("span.sub");
    this.area = svg("path.area");
    this.edge = svg("path.edge");
    this.spark = svg("svg.spark", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path.grid", { d: "M0 15.5H100M0 22.75H100" }), this.area, this.edge);
    this.reasons = el("ul.reasons");
    this.node = el("a.tile", { href: `#/pool/${encodeURIComponent(name)}` }, this.gauge.node,
      el("span.row", {}, el("span.name", {}, name), el("b", {}, this.word, this.percent)),
      el("span.row", {}, this.spark, this.about), this.reasons);
    explain(this.node, (event) => this.description(event));
  }

  get row() {
    return this.model.rows.get(this.name);
  }

  show() {
    const { row } = this;
    const full = fullness(row);
    const rank = level(row);
    set(this.node, "data-level", rank);
    this.gauge.show(full);
    say(this.percent, full === null ? "–" : `${number(full)} %`);
    say(this.about, `(${number(row.ready)}/${number(row.size)}) · ${number(row.running)} running`);
    say(this.word, WORDS[rank]);
    const found = troubles(row);
    if (found.join("\n") !== this.found) this.reasons.replaceChildren(...found.map((text) => el("li", {}, text)));
    this.found = found.join("\n");
    this.draw();
  }

  /** Draws the fill level over the time range, up to now. */
  draw() {
    const kept = this.model.history?.pools[this.name]?.ready ?? [];
    const { edge, area } = sparkline([...kept, this.row.ready], this.row.size);
    set(this.edge, "d", edge);
    set(this.area, "d", area);
  }

  /** Whether all words of a filter match. */
  fits(words) {
    if (!words.length) return true;
    const { row } = this;
    const text = [row.name, ...row.alias, row.platform, WORDS[level(row)], row.failing.length && "failing", row.flagged && "flagged"].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  description(event) {
    const { row, model } = this;
    const { history } = model;
    const aliases = row.alias.length ? `also called ${row.alias.join(", ")}` : null;
    const being = row.pending ? `${number(row.cloning)} cloning, ${number(row.pending - row.cloning)} booting` : "none being made";
    const lines = [`${count(row.ready, "VM")} ready of ${number(row.size)}, ${number(row.running)} running, ${being}`];
    if (row.last_boot) lines.push(`The last became ready ${span(model.now() - row.last_boot)} ago`);
    const box = this.spark.getBoundingClientRect();
    if (history && event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom) {
      const at = Math.min(history.count - 1, Math.floor(((event.clientX - box.left) / box.width) * history.count));
      const value = history.pools[this.name]?.ready[at] ?? null;
      const time = history.from + history.step * (at + 1);
      lines.unshift(`${when(time, model.now())}: ${value === null ? "not known" : `${number(value, Number.isInteger(value) ? 0 : 1)} ready`}`);
    }
    return [el("strong", {}, row.name), aliases && el("p", {}, aliases), ...lines.map((line) => el("p", {}, line))].filter(Boolean);
  }
}
