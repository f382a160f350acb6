// The page of a VM: its facts, its actions, and its events.

import { extend, may, remove, snapshot, tag } from "./action.js";
import { el, say, set } from "./dom.js";
import { moment, number, span } from "./format.js";
import { item, lifeline, poolLink } from "./happening.js";
import { Loader, NotThere } from "./loader.js";
import { remaining } from "./pool.js";

export class VmView {
  constructor(model, name) {
    Object.assign(this, { model, name, detail: null });
    this.state = el("span.state");
    this.act = el("div.acts");
    this.facts = el("dl.facts");
    this.left = el("span");
    this.life = el("div");
    this.timeline = el("ol.events.timeline");
    this.record = el("dl.facts");
    this.blank = el("p.blank", {}, "Loading…");
    this.body = el("div.body", { hidden: true }, el("section", { "aria-label": "Its life" }, el("h2", {}, "Its life"), this.life, this.timeline));
    this.side = el("aside.side", { hidden: true }, el("h2", {}, "What it is"), this.facts,
      el("details", {}, el("summary", {}, "The whole record"), this.record));
    this.node = el("div.detail", {},
      el("header.head", {}, el("a.back", { href: "#/" }, "All pools"), el("h1", { tabindex: -1 }, name), this.state, this.act),
      this.blank, this.body, this.side);
    this.loader = new Loader(() => `vms/${encodeURIComponent(name)}`, (detail) => this.load(detail), (error) => this.fail(error));
    this.loader.ask();
  }

  close() {
    this.loader.stop();
  }

  update(changes) {
    if (changes.all || changes.events.some(({ vm }) => vm === (this.detail?.name ?? this.name))) this.loader.ask();
    if (this.detail) this.permit();
    return false;
  }

  fail(error) {
    if (this.detail) return;
    say(this.blank, error instanceof NotThere ? `The VM ${this.name} is unknown. The records of destroyed VMs are deleted after some time.` : error.message);
  }

  load(detail) {
    this.detail = detail;
    this.blank.hidden = true;
    this.body.hidden = this.side.hidden = false;
    const now = this.model.now();
    set(this.state, "class", `state ${detail.state}`);
    say(this.state, detail.state);
    this.facts.replaceChildren(...this.known(detail));
    this.life.replaceChildren(...[lifeline(detail.timeline, detail.now)].filter(Boolean));
    this.timeline.replaceChildren(...this.items(detail.timeline, now));
    this.record.replaceChildren(...Object.entries(detail.record).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    this.permit();
    this.tick(now);
  }

  known({ pool, owner, ip, ends, lifetime, tags, disk, snapshots, state }) {
    const { domain } = this.model;
    const host = domain ? `${this.detail.name}.${domain}` : null;
    const facts = [
      ["Host", host], ["Pool", pool && poolLink(pool)], ["Owner", owner], ["Address", ip],
      ["Lifetime", lifetime === null ? "for ever" : `${number(lifetime, Number.isInteger(lifetime) ? 0 : 1)} h from its checkout`],
      ["Ends", ends && moment(ends)], ["Time left", state === "running" && ends ? this.left : null],
      ...Object.entries(tags).map(([name, value]) => [`Tag ${name}`, value]),
      ["Extra disks", disk.join(", ")],
      ["Snapshots", snapshots.join(", ")],
    ];
    return facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  }

  /** Its events, the oldest first, each with the time since the previous one. */
  items(timeline, now) {
    const { name, pool } = this.detail;
    return timeline.map((event, at) => {
      const entry = item(event, now, { vm: name, pool });
      const passed = at ? event.when - timeline[at - 1].when : 0;
      if (passed >= 1) entry.querySelector("p").append(el("small", {}, `${span(passed)} later`));
      return entry;
    });
  }

  permit() {
    const { name, state, lifetime } = this.detail;
    const mode = state !== "running" ? "" : may(this.model) ? "all" : "token";
    if (this.mode === `${mode} ${lifetime}`) return;
    this.mode = `${mode} ${lifetime}`;
    const button = (verb, act, kind = "button") => el(kind, { type: "button", onclick: act }, verb);
    const buttons = () => [button("Lifetime", () => extend(name, lifetime)), button("Tag", () => tag(name)),
      button("Snapshot", () => snapshot(name)), button("Delete", () => remove(name), "button.danger")];
    this.act.replaceChildren(...(mode === "all" ? buttons() : mode ? [el("small", {}, "With a token you can change it here")] : []));
  }

  tick(now) {
    if (this.detail?.ends) say(this.left, remaining(this.detail.ends - now));
  }
}
