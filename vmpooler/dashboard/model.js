// The state of the pools, and its rating. This module does not touch the page.

import { clock, count, number } from "./format.js";

const EVENTS = 300; // maximum number that is stored

export class Model {
  constructor() {
    Object.assign(this, {
      site: "vmpooler", domain: null, auth: true, managed: null, today: {}, known: false,
      rows: new Map(), events: [], offset: 0, asOf: 0, history: null, week: [],
    });
  }

  /** The server's clock, in seconds since the epoch. */
  now() {
    return Date.now() / 1000 + this.offset;
  }

  /** Applies a message. Returns what changed. */
  take(kind, data) {
    if (kind === "event") return { events: this.add([data]) };
    this.offset = data.now - Date.now() / 1000;
    this.asOf = data.now;
    this.managed = data.managed;
    this.today = data.today;
    if (kind === "counts") {
      const known = data.pools.filter((row) => this.rows.has(row.name));
      for (const row of known) this.rows.set(row.name, row);
      return { pools: known.map((row) => row.name) };
    }
    for (const member of ["site", "domain", "auth"]) this[member] = data[member];
    this.rows = new Map(data.pools.map((row) => [row.name, row]));
    if (data.gap) this.events = [];
    this.known = true;
    return { all: true, reset: data.gap, events: this.add(data.recent) };
  }

  /** Adds the events that are newer than the newest stored one. Returns them. */
  add(events) {
    const newest = this.events.at(-1)?.id ?? "";
    const fresh = newest ? events.filter((event) => later(event.id, newest)) : events;
    this.events = [...this.events, ...fresh].slice(-EVENTS);
    return fresh;
  }

  /** The totals of all pools. */
  sums() {
    const sums = { size: 0, ready: 0, pending: 0, cloning: 0, running: 0, completed: 0 };
    for (const row of this.rows.values()) for (const name in sums) sums[name] += row[name];
    const total = sums.ready + sums.pending + sums.running + sums.completed;
    const capacity = sums.size ? (100 * sums.ready) / sums.size : null;
    return { ...sums, booting: sums.pending - sums.cloning, total, capacity };
  }

  /** At most `most` platforms, the largest first. The smallest are combined as "other". */
  platforms(most = 8) {
    const sizes = new Map();
    for (const { platform, size } of this.rows.values()) sizes.set(platform, (sizes.get(platform) ?? 0) + size);
    const names = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a) || (a < b ? -1 : 1));
    return names.length <= most ? names : [...names.slice(0, most - 1), "other"];
  }

  /** Extends the history to now with the current counts, so that it need not be loaded each minute. */
  extend() {
    const { history } = this;
    if (!history) return false;
    let end = history.from + history.step * history.count;
    let grown = false;
    for (; end + history.step <= this.now(); end += history.step, grown = true) {
      history.from += history.step;
      for (const [name, kept] of Object.entries(history.pools)) {
        const row = this.rows.get(name) ?? {};
        for (const queue of ["ready", "running", "pending"]) {
          kept[queue].shift();
          kept[queue].push(row[queue] ?? null);
        }
      }
    }
    return grown;
  }
}

function later(id, other) {
  const [a, b] = [id, other].map((text) => text.split("-").map(Number));
  return a[0] - b[0] || a[1] - b[1] ? a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]) : false;
}

/** The end times of a history's steps, in seconds since the epoch. */
export const ends = ({ from, step, count }) => Array.from({ length: count }, (_, at) => from + step * (at + 1));

/** Ready VMs in percent of a pool's size; null for size 0. */
export const fullness = ({ ready, size }) => (size ? (100 * ready) / size : null);

/** The level of a pool, with the limits at which Ruby vmpooler shows green, amber and red. */
export function level(row) {
  if (row.draining) return "draining";
  const full = fullness(row);
  if (full === null) return "off";
  if (row.empty || full === 0) return "empty";
  return full < 25 ? "scarce" : full < 50 ? "low" : "good";
}

export const WORDS = { draining: "not configured: draining", off: "size 0", empty: "empty", scarce: "very low", low: "low", good: "" };

const SUBJECTS = {
  clone: "Cloning fails",
  inventory: "The inventory cannot be read",
  answers: "Most guests do not answer",
  power: "VMs cannot be switched on",
};

/** The problems of a pool, as sentences. */
export function troubles(row) {
  const found = [];
  if (row.empty) found.push(`Empty: no VM is ready, ${row.pending ? `${count(row.pending, "VM")} being made` : "none is being made"}`);
  if (row.draining) found.push(`Draining: ${row.draining}`);
  if (row.moved) found.push(`Moved: ${row.moved}`);
  if (row.flagged) found.push(`Mass guard: ${row.flagged}`);
  for (const { subject, why, tries, until } of row.failing) {
    const again = until ? `, next try at ${clock(until)}` : "";
    found.push(`${SUBJECTS[subject] ?? `${subject} fails`}: ${why} (${number(tries)} in a row${again})`);
  }
  return found;
}

/** The weight of a pool's problems, for sorting; 0 without problems. */
export const gravity = (row) => (row.empty ? 4 : 0) + (row.failing.length ? 2 : 0) + (row.flagged || row.draining || row.moved ? 1 : 0);
