// Events as sentences, and lists of them.

import { el } from "./dom.js";
import { moment, span, took, when } from "./format.js";

const seconds = ({ more }) => (more.seconds ? took(Number(more.seconds)) : "?");
const asked = ({ more }) => [more.kind, more.argument].filter(Boolean).join(" ");
const SUBJECTS = { clone: "cloning", inventory: "the inventory", missing: "the inventory", answers: "probing", power: "switching VMs on" };
const subject = ({ more }) => SUBJECTS[(more.subject ?? "").replace(/^:/, "")] ?? more.subject ?? "the provider";
const again = ({ more }) => `try ${more.tries ?? "?"}${more.seconds ? `, next in ${span(Number(more.seconds))}` : ""}`;

// For each kind of event: its mark, as in the log, its style, and its sentence.
const KINDS = {
  clone: ["·", "", () => "Clone ordered"],
  cloned: ["+", "", (event) => `Cloned in ${seconds(event)}`],
  ready: ["+", "good", (event) => `Ready, ${seconds(event)} after its order`],
  checkout: [">", "mark", (event) => `Checked out${user(event)}`],
  returned: ["<", "", (event) => `Back to ready: ${event.why}`],
  unclaimed: ["<", "", (event) => `Goes back to ready once its stamp is clear: ${event.why}`],
  restored: [">", "mark", (event) => `Running again${user(event)}: ${event.why}`],
  quarantined: ["!", "bad", (event) => `Quarantined: ${event.why}`],
  completed: ["–", "", (event) => `Completed: ${event.why}`],
  destroyed: ["×", "", (event) => `Destroyed in ${seconds(event)}`],
  discovered: ["?", "low", () => "Discovered: in the inventory, in no queue"],
  explained: ["–", "", (event) => `No longer discovered: ${event.why}`],
  missing: ["!", "bad", () => "Missing from the inventory"],
  found: ["+", "good", () => "Back in the inventory"],
  settled: ["!", "low", (event) => `Stood in several queues, left ${event.why}`],
  changed: ["+", "", (event) => `Set: ${event.why}`],
  requested: ["·", "", (event) => `Asked for: ${asked(event)}${user(event)}`],
  done: ["+", "good", (event) => `Done: ${asked(event)}`],
  delayed: ["!", "low", (event) => `Failed: ${asked(event)}: ${event.why} (${again(event)})`],
  gave_up: ["!", "bad", (event) => `Given up: ${asked(event)}: ${event.why}`],
  failed: ["!", "bad", (event) => `Failed: ${subject(event)}: ${event.why} (${again(event)})`],
  recovered: ["+", "good", (event) => `Works again: ${subject(event)}`],
  flagged: ["!", "bad", (event) => `Mass guard: ${event.why}`],
  unflagged: ["+", "good", () => "Mass guard lifted"],
  empty: ["!", "bad", () => "Empty: no VM is ready"],
  filled: ["+", "good", () => "No longer empty"],
};

const user = ({ by }) => (["", "api", "manager", "anonymous"].includes(by) ? "" : ` by ${by}`);

const kind = (event) => KINDS[event.what] ?? ["·", "", () => event.text ?? event.what];

export const sentence = (event) => kind(event)[2](event);

export const poolLink = (name) => el("a.pool", { href: `#/pool/${encodeURIComponent(name)}`, hint: `pool ${name}` }, name);
export const vmLink = (name) => el("a.vm", { href: `#/vm/${encodeURIComponent(name)}`, hint: name }, name);

/** One event as a list item. `within`: the pool or VM that the page shows already; it gets no link. */
export function item(event, now, within = {}) {
  const [mark, paint] = kind(event);
  const links = [
    event.pool && event.pool !== within.pool ? poolLink(event.pool) : null,
    event.vm && event.vm !== within.vm ? vmLink(event.vm) : null,
  ].filter(Boolean);
  return el("li.event", {},
    el("time", { datetime: new Date(event.when * 1000).toISOString(), hint: moment(event.when) }, when(event.when, now)),
    el(`span.mark.${paint || "plain"}`, { "aria-hidden": "true" }, mark),
    el("p", {}, el("span.what", {}, sentence(event)), links.length ? el("small", {}, links) : null));
}

/** A list of at most `most` events, the newest first. */
export class Stream {
  constructor(most, within = {}) {
    Object.assign(this, { most, within });
    this.list = el("ol.events", { role: "log", "aria-live": "off", "aria-label": "Events, the newest first" });
    this.blank = el("p.blank", {}, "Nothing has happened yet");
    this.node = el("div.stream", {}, this.blank, this.list);
  }

  /** Adds events, given oldest first, at the top. */
  add(events, now) {
    const items = events.slice(-this.most).map((event) => item(event, now, this.within)).reverse();
    this.list.prepend(...items);
    while (this.list.childElementCount > this.most) this.list.lastElementChild.remove();
    this.blank.hidden = this.list.childElementCount > 0;
  }

  /** Shows only these events. */
  replace(events, now) {
    this.list.replaceChildren();
    this.add(events, now);
  }
}

/** The life of a VM as a bar: one part for each time in a queue, as wide as that time was long. */
export function lifeline(timeline, now) {
  const moves = [];
  const QUEUE = { clone: "pending", ready: "ready", checkout: "running", returned: "ready", completed: "completed", destroyed: null };
  for (const { what, when: at } of timeline) if (what in QUEUE) moves.push({ queue: QUEUE[what], at });
  if (!moves.length) return null;
  const end = moves.at(-1).queue === null ? moves.at(-1).at : now;
  const parts = moves.slice(0, moves.at(-1).queue === null ? -1 : undefined)
    .map((move, at) => ({ ...move, lasted: (moves[at + 1]?.at ?? end) - move.at }));
  const bars = parts.map(({ queue: name, lasted }) => {
    const text = `${name} for ${span(lasted)}`;
    const part = el(`span.part.${name}`, { hint: text }, el("b", {}, name), " ", span(lasted));
    part.style.flex = `${lasted} 1 0`;
    return part;
  });
  return el("div.lifeline", { role: "img", "aria-label": parts.map(({ queue: name, lasted }) => `${name} for ${span(lasted)}`).join(", ") }, bars);
}
