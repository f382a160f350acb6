// Charts with axes, in SVG: stacked areas, lines, and bars for days. A chart shows its values under the pointer, or for
// the arrow keys while it has the focus.

import { el, set, svg } from "./dom.js";
import { date, hourMinute, moment, number, weekday } from "./format.js";
import { decimals, known, scale, stacked } from "./shape.js";
import * as tip from "./tip.js";

const STEPS = [300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800];
const EDGE = { top: 8, right: 10, bottom: 20 };

export class Chart {
  /** `kind` is stack, lines or bars; `unit` follows each value; `days`: each time stands for its day. */
  constructor({ title, about, kind, unit = "", digits = 0, days = false, blank = "Nothing to draw yet" }) {
    Object.assign(this, { title, kind, unit, digits, days, banded: days || kind === "bars", at: null, data: null, size: { width: 0, height: 0 } });
    this.legend = el("ul.legend");
    this.blank = el("p.blank", {}, blank);
    this.plot = svg("svg", { tabindex: 0, role: "slider", "aria-label": title, "aria-readonly": "true" });
    this.box = el("div.plot", {}, this.plot, this.blank);
    this.node = el(`figure.chart.${kind}`, {}, el("figcaption", {}, el("h3", { hint: about }, title), this.legend), this.box);
    this.plot.addEventListener("pointermove", (event) => this.point(this.nearest(event.offsetX)));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    this.plot.addEventListener("blur", () => this.point(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
    // The observer reports the size. Reading it from the node would force a layout of the page.
    new ResizeObserver(([{ contentRect }]) => { this.size = contentRect; this.draw(); }).observe(this.box);
  }

  /** Shows `series` ({name, values, now}) over `times`, in seconds; null is a gap. `ceiling` is a labelled line. */
  show(data) {
    this.data = data;
    const empty = !data.series.some(({ values }) => values.some((value) => value !== null));
    this.blank.hidden = !empty;
    set(this.plot, "tabindex", empty ? -1 : 0);
    this.draw();
  }

  draw() {
    const { width, height } = this.size;
    this.plot.replaceChildren();
    if (!this.blank.hidden || width < 40 || height < 40) return;
    const { series } = this.data;
    const layers = this.kind === "lines" ? series.map(({ values }) => values.map((value) => [0, value])) : stacked(series);
    const tops = layers.flat().map(([, top]) => top ?? 0);
    const ticks = scale(Math.max(...tops, this.data.ceiling?.value ?? 0, this.digits ? 0.5 : 1), height, this.digits);
    const left = 10 + 7 * Math.max(...ticks.map((tick) => number(tick, decimals(ticks)).length));
    this.space = { width, height, left, inner: width - left - EDGE.right, most: ticks.at(-1), layers };
    set(this.plot, "viewBox", `0 0 ${width} ${height}`);
    this.cursor = svg("g.cursor");
    this.plot.append(this.levels(ticks), this.instants(), ...this.marks(), this.ceiling(), this.cursor);
    this.label();
    if (this.at !== null) this.point(this.at);
  }

  /** Plot coordinates of a time, of an index of `times` (x), and of a value (y). */
  place(time) {
    const { left, inner } = this.space;
    const { times } = this.data;
    const share = times.length > 1 ? (time - times[0]) / (times.at(-1) - times[0]) : 0.5;
    return left + inner * (this.banded ? (share * (times.length - 1) + 0.5) / times.length : share);
  }

  x(index) {
    return this.place(this.data.times[index]);
  }

  y(value) {
    const { height, most } = this.space;
    return height - EDGE.bottom - (value / most) * (height - EDGE.top - EDGE.bottom);
  }

  levels(ticks) {
    const { left, width } = this.space;
    return svg("g.axis", {}, ticks.map((tick) => [
      svg("line", { x1: left, x2: width - EDGE.right, y1: this.y(tick), y2: this.y(tick) }),
      svg("text.level", { x: left - 6, y: this.y(tick) + 4 }, number(tick, decimals(ticks))),
    ]));
  }

  instants() {
    const { height, inner, left } = this.space;
    const { times } = this.data;
    const label = (x, text) => svg("text.instant", { x, y: height - 5 }, text);
    if (this.days) return svg("g.axis", {}, times.map((day) => label(this.place(day), inner < 42 * times.length ? new Date(day * 1000).getDate() : weekday(day))));
    const [first, last] = [times[0], times.at(-1)];
    const step = STEPS.find((each) => ((last - first) / each) * 62 <= inner) ?? STEPS.at(-1);
    const zone = new Date(last * 1000).getTimezoneOffset() * 60;
    const marks = [];
    for (let time = Math.ceil((first - zone) / step) * step + zone; time <= last; time += step) {
      const x = this.place(time);
      if (x < left + 12 || x > left + inner - 8) continue;
      marks.push(svg("line.mark", { x1: x, x2: x, y1: height - EDGE.bottom, y2: height - EDGE.bottom + 4 }));
      marks.push(label(x, step < 86400 ? hourMinute(time) : weekday(time)));
    }
    return svg("g.axis", {}, marks);
  }

  marks() {
    const { layers } = this.space;
    return this.data.series.map(({ style, name }, index) => {
      const layer = layers[index];
      if (this.kind === "bars") return svg(`g.${style}`, {}, layer.map((part, at) => this.bar(part, at)));
      if (this.kind === "lines") return svg(`g.${style}.line`, {}, svg("path", { d: this.line(layer) }), this.dots(layer));
      return svg(`g.${style}.area`, {}, svg("path", { d: this.area(layer) }), this.name(layer, name));
    });
  }

  bar([bottom, top], at) {
    if (!top || top <= bottom) return null;
    const wide = Math.min(44, (this.space.inner / this.data.times.length) * 0.62);
    const high = this.y(bottom) - this.y(top);
    return svg("rect", { x: this.x(at) - wide / 2, y: this.y(top), width: wide, height: Math.max(1, high - (bottom ? 1 : 0)) });
  }

  line(layer) {
    let path = "";
    layer.forEach(([, value], at) => {
      if (value === null) return;
      const before = at && layer[at - 1][1] !== null;
      path += `${before ? "L" : "M"}${this.x(at).toFixed(1)} ${this.y(value).toFixed(1)}`;
    });
    return path;
  }

  /** Circles for points without a neighbour, and for all points when there are at most 8. */
  dots(layer) {
    const lone = ([, value], at) => value !== null && (layer.length <= 8 || (!known(layer[at - 1]) && !known(layer[at + 1])));
    return layer.map((point, at) => lone(point, at) && svg("circle", { cx: this.x(at), cy: this.y(point[1]), r: 2.5 }));
  }

  area(layer) {
    let path = "";
    for (let from = 0; from < layer.length; from += 1) {
      if (!known(layer[from])) continue;
      let to = from;
      while (known(layer[to + 1])) to += 1;
      const edge = (side) => (at) => `${this.x(at).toFixed(1)} ${this.y(layer[at][side]).toFixed(1)}`;
      const run = Array.from({ length: to - from + 1 }, (_, at) => from + at);
      path += `M${run.map(edge(1)).join("L")}L${run.reverse().map(edge(0)).join("L")}Z`;
      from = to;
    }
    return path;
  }

  /** The name of a series in its area, if it fits: colour must not be the only distinction. */
  name(layer, name) {
    const at = Math.max(0, layer.length - 1);
    const [bottom, top] = layer[Math.max(0, at - 1)] ?? [];
    const room = known(layer[at]) && known(layer[at - 1]) && this.y(bottom) - this.y(top) >= 15 && this.space.inner > 200;
    return room && svg("text.name", { x: this.x(at) - 6, y: (this.y(bottom) + this.y(top)) / 2 + 4 }, name);
  }

  ceiling() {
    const { ceiling } = this.data;
    if (!ceiling) return "";
    const { left, width } = this.space;
    const y = this.y(ceiling.value);
    return svg("g.ceiling", {}, svg("line", { x1: left, x2: width - EDGE.right, y1: y, y2: y }),
      svg("text", { x: left + 4, y: y - 4 }, ceiling.name));
  }

  label() {
    const { series } = this.data;
    const items = series.map(({ name, style, now }) => el(`li.${style}`, {}, el("i", { "aria-hidden": "true" }), name,
      now === undefined ? null : el("b", {}, ` ${number(now, this.digits)}`)));
    const text = (list) => list.map((item) => item.textContent + item.className).join();
    if (text(items) !== text([...this.legend.children])) this.legend.replaceChildren(...items);
    set(this.plot, "aria-valuemin", 0);
    set(this.plot, "aria-valuemax", this.data.times.length - 1);
    set(this.plot, "aria-valuenow", this.at ?? this.data.times.length - 1);
    set(this.plot, "aria-valuetext", this.valuesAt(this.at ?? this.data.times.length - 1).join(", "));
  }

  nearest(x) {
    if (!this.space) return null;
    const { left, inner } = this.space;
    const many = this.data.times.length;
    const share = (x - left) / inner;
    const at = this.banded ? Math.floor(share * many) : Math.round(share * (many - 1));
    return Math.min(Math.max(at, 0), many - 1);
  }

  key(event) {
    const last = (this.data?.times.length ?? 0) - 1;
    const from = this.at ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, PageUp: from - 10, PageDown: from + 10 }[event.key];
    if (event.key === "Escape") this.point(null);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.point(Math.min(Math.max(to, 0), last));
    this.label();
  }

  moment(at) {
    const time = this.data.times[at];
    return this.days ? date(time) : moment(time);
  }

  valuesAt(at) {
    const value = (each) => `${each.name} ${number(each.values[at], this.digits)}${each.values[at] === null ? "" : this.unit}`;
    return [this.moment(at), ...this.data.series.map(value)];
  }

  /** Marks one point and shows its values; null for none. */
  point(at) {
    this.at = at;
    this.cursor?.replaceChildren();
    if (at === null || !this.space || !this.blank.hidden) return tip.hide(this);
    const { layers, height } = this.space;
    const x = this.x(at);
    const tops = layers.map((layer) => layer[at]?.[1]).filter((top) => top !== null && top !== undefined);
    if (this.kind !== "bars") {
      this.cursor.append(svg("line", { x1: x, x2: x, y1: EDGE.top, y2: height - EDGE.bottom }),
        ...tops.map((top) => svg("circle", { cx: x, cy: this.y(top), r: 3 })));
    }
    const box = this.plot.getBoundingClientRect();
    tip.show(box.left + x, box.top + this.y(Math.max(...tops, 0)), this.table(at), this);
    return undefined;
  }

  table(at) {
    const rows = this.data.series.map(({ name, style, values }) => el(`tr.${style}`, {},
      el("td", {}, el("i"), name), el("td", {}, values[at] === null ? "–" : number(values[at], this.digits) + this.unit)));
    if (this.kind !== "lines") {
      rows.reverse();
      const sum = this.data.series.reduce((all, { values }) => all + (values[at] ?? 0), 0);
      if (rows.length > 1) rows.push(el("tr.sum", {}, el("td", {}, "together"), el("td", {}, number(sum, this.digits) + this.unit)));
    }
    return [el("strong", {}, this.moment(at)), el("table", {}, el("tbody", {}, rows))];
  }
}
