// The page: messages of the feed update the model, and once a frame the current view gets the changes.

import { askToken, token } from "./action.js";
import { el, say, set } from "./dom.js";
import { clock, count, span } from "./format.js";
import { Feed } from "./feed.js";
import { EventsView } from "./journal.js";
import { gravity, Model } from "./model.js";
import { Loader } from "./loader.js";
import { Overview } from "./overview.js";
import { PoolView } from "./pool.js";
import * as tip from "./tip.js";
import { VmView } from "./vm.js";

const RANGES = { "1h": "the last hour", "24h": "the last day", "7d": "the last week" };
const REFRESH = 600; // seconds between two reads of the history
const LATE = 180; // seconds without a sample until a warning that no manager runs; a sample is taken each minute

const $ = (id) => document.getElementById(id);
const nothing = () => ({ all: false, reset: false, history: false, week: false, pools: new Set(), events: [] });

class Page {
  constructor() {
    this.model = new Model();
    this.changes = nothing();
    this.asked = false;
    this.view = null;
    this.range = "1h";
    this.up = null;
    this.past = new Loader(() => `history?range=${this.range}`, (data) => this.onHistory(data));
    this.week = new Loader(() => "history?range=7d", ({ week }) => { this.model.week = week; this.mark({ week: true }); });
    this.feed = new Feed("events", (kind, data) => this.onEvent(kind, data), (up, why, away) => this.onLink(up, why, away));
  }

  start() {
    tip.start();
    const { query } = this.route();
    if (query.get("range") in RANGES) this.range = query.get("range");
    $("filter").value = query.get("q") ?? "";
    this.controls();
    addEventListener("hashchange", () => this.go());
    setInterval(() => this.tick(), 1000);
    this.past.ask();
    this.week.ask();
    this.feed.run();
  }

  controls() {
    for (const [range, words] of Object.entries(RANGES)) {
      const input = el("input", { type: "radio", name: "range", value: range, onchange: () => this.onRange(range) });
      input.checked = range === this.range;
      $("ranges").append(el("label", { hint: `Charts show ${words}` }, input, el("span", {}, range)));
    }
    $("filter").addEventListener("input", () => this.onFilter());
    $("filter").addEventListener("keydown", (event) => this.onKey(event));
    $("token").addEventListener("click", () => askToken(() => this.onToken()));
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey;
      if (event.key !== "/" || typing || document.querySelector("dialog")) return;
      event.preventDefault();
      $("filter").select();
    });
  }

  // Messages of the feed.

  onEvent(kind, data) {
    const changed = this.model.take(kind, data);
    if (changed.all && !this.view) this.go();
    this.mark(changed);
  }

  mark({ pools = [], events = [], ...flags }) {
    for (const name of pools) this.changes.pools.add(name);
    this.changes.events.push(...events);
    for (const flag in flags) this.changes[flag] ||= flags[flag];
    this.ask();
  }

  /** Updates the view in the next frame, or within a second in a hidden tab, which has no frames. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    if (document.hidden) setTimeout(() => this.flush(), 1000);
    else requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.asked = false;
    const { changes, model } = this;
    if (!model.known) return;
    this.changes = nothing();
    this.verdict();
    if (this.view.update(changes)) this.ask();
    else if (!performance.getEntriesByName("usable").length) performance.mark("usable");
  }

  onHistory(data) {
    this.model.history = data;
    this.read = Date.now();
    this.mark({ history: true });
  }

  onLink(up, why, away = false) {
    if (up && !this.up && this.wasLinked) { // after an interruption, or after the tab was hidden
      this.past.ask();
      this.week.ask();
    }
    this.wasLinked = true;
    this.up = up;
    this.why = away ? `The service waits: ${why}.` : `Disconnected: ${why}.`;
    this.away = away;
    this.status();
  }

  tick() {
    if (Date.now() - (this.read ?? 0) > REFRESH * 1000 && this.up) {
      this.read = Date.now();
      this.past.ask();
      this.week.ask();
    }
    if (this.up && this.model.extend()) this.mark({ history: true });
    if (this.up) this.view?.tick?.(this.model.now());
    this.status();
  }

  // The header of the page.

  verdict() {
    const { model } = this;
    const rows = [...model.rows.values()];
    const bad = rows.filter((row) => gravity(row)).length;
    say($("site"), model.site);
    say($("verdict"), bad ? `${count(bad, "pool")} of ${rows.length} need${bad === 1 ? "s" : ""} attention` : `All ${count(rows.length, "pool")} served`);
    set($("verdict"), "data-level", bad ? "empty" : "good");
    document.title = `${bad ? `(${bad}) ` : ""}${model.site}`;
    this.onToken(false);
  }

  onToken(changed = true) {
    $("token").hidden = !this.model.auth;
    say($("token"), token() ? "Token given" : "Token");
    if (changed) this.mark({ all: true });
  }

  status() {
    const { model } = this;
    say($("link").lastElementChild, this.up ? "live" : this.up === false ? this.away ? "waiting" : "disconnected" : "connecting");
    set($("link"), "data-up", String(this.up));
    document.body.classList.toggle("stale", this.up === false && model.known);
    const quiet = this.up && model.known && (model.managed === null || model.now() - model.managed > LATE);
    $("banner").hidden = this.up !== false && !quiet;
    if (this.up === false) this.warn(this.why, this.age());
    else if (quiet) this.warn("No manager seems to be running.", `${model.managed === null ? "None has ever reported" : `None has reported for ${span(model.now() - model.managed)}`}: pools are not being filled.`);
  }

  age() {
    if (!this.model.known) return "Trying again.";
    const at = this.feed.last && this.shown();
    return `This page shows the state of ${clock(at)}, ${span(this.model.now() - at)} ago. Trying again.`;
  }

  /** The time of the displayed state. */
  shown() {
    if (this.up) this.sure = this.feed.received / 1000 + this.model.offset;
    return this.sure ?? this.model.asOf;
  }

  warn(what, more) {
    say($("banner").firstElementChild, what);
    say($("banner").lastElementChild, more);
  }

  // The routes: #/, #/events, #/pool/NAME, #/vm/NAME.

  route() {
    const [path, query = ""] = location.hash.slice(1).split("?");
    const [view = "", name = ""] = path.split("/").slice(1).map(decoded);
    return { view, name, query: new URLSearchParams(query) };
  }

  go() {
    if (!this.model.known) return;
    const { view, name } = this.route();
    const inside = document.activeElement === document.body || $("main").contains(document.activeElement);
    const before = this.view;
    before?.close?.();
    if (before === this.overview) this.scrolled = scrollY;
    this.view = this.made(view, name);
    if (before === this.view) return;
    $("main").replaceChildren(this.view.node);
    tip.hide();
    scrollTo(0, this.view === this.overview ? this.scrolled ?? 0 : 0);
    if (before && inside) (this.view.back?.(before.name) ?? this.view.node.querySelector("h1")).focus({ preventScroll: true });
    this.mark({ all: true, reset: true, history: true, week: true });
  }

  made(view, name) {
    if (view === "pool" && name) return new PoolView(this.model, name, this.range);
    if (view === "vm" && name) return new VmView(this.model, name);
    if (view === "events") return new EventsView(this.model, $("filter").value);
    this.overview ??= new Overview(this.model);
    this.overview.filter($("filter").value);
    return this.overview;
  }

  onRange(range) {
    this.range = range;
    if (this.view) this.view.range = range;
    this.past.ask();
    this.updateAddress();
    this.mark({ history: true });
  }

  onFilter() {
    if (!this.view?.filter) location.hash = "#/";
    this.view?.filter?.($("filter").value);
    this.updateAddress();
  }

  /** Enter opens the only matching pool. Without a match, the text is the name of a VM. */
  onKey(event) {
    if (event.key !== "Enter" || !this.overview || !event.target.value.trim()) return;
    const fitting = this.overview.fitting(event.target.value);
    if (fitting.length > 1) return;
    const text = event.target.value.trim();
    event.target.value = "";
    this.overview.filter("");
    location.hash = fitting.length ? `#/pool/${encodeURIComponent(fitting[0])}` : `#/vm/${encodeURIComponent(text)}`;
  }

  /** Stores range and filter in the address, so that a bookmark restores them. */
  updateAddress() {
    const { view, name } = this.route();
    const query = new URLSearchParams({ ...($("filter").value && { q: $("filter").value }), ...(this.range !== "1h" && { range: this.range }) });
    const path = [view, name].filter(Boolean).map(encodeURIComponent).join("/");
    history.replaceState(null, "", `#/${path}${query.size ? `?${query}` : ""}`);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

new Page().start();
