// Events as sentences, and lists of them.

import { el } from "./dom.js";
import { moment, span, when } from "./format.js";

// For each kind of event: its mark, and its style.
const KINDS = {
  clone: ["·", ""],
  cloned: ["+", ""],
  ready: ["+", "good"],
  checkout: [">", "mark"],
  returned: ["<", ""],
  unclaimed: ["<", ""],
  restored: [">", "mark"],
  quarantined: ["!", "bad"],
  completed: ["–", ""],
  destroyed: ["×", ""],
  discovered: ["?", "low"],
  explained: ["–", ""],
  missing: ["!", "bad"],
  found: ["+", "good"],
  settled: ["!", "low"],
  changed: ["+", ""],
  requested: ["·", ""],
  done: ["+", "good"],
  delayed: ["!", "low"],
  gave_up: ["!", "bad"],
  failed: ["!", "bad"],
  recovered: ["+", "good"],
  flagged: ["!", "bad"],
  unflagged: ["+", "good"],
  empty: ["!", "bad"],
  filled: ["+", "good"],
};

/** The sentence of an event, as in the log, without the VM: it is shown beside the sentence. */
export function sentence({ text, vm }) {
  const rest = vm && text.startsWith(`'${vm}' `) ? text.slice(`'${vm}' `.length) : text;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

export const poolLink = (name) => el("a.pool", { href: `#/pool/${encodeURIComponent(name)}`, hint: `pool ${name}` }, name);
export const vmLink = (name) => el("a.vm", { href: `#/vm/${encodeURIComponent(name)}`, hint: name }, name);

/** One event as a list item. `within`: the pool or VM that the page shows already; it gets no link. */
export function item(event, now, within = {}) {
  const [mark, paint] = KINDS[event.what] ?? ["·", ""];
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
