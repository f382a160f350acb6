// The page of all events.

import { el } from "./dom.js";
import { split } from "./format.js";
import { sentence, Stream } from "./happening.js";

/** All stored events, filtered by words. */
export class EventsView {
  constructor(model, text) {
    Object.assign(this, { model, words: [] });
    this.stream = new Stream(300);
    this.node = el("div.detail.log", {}, el("header.head", {}, el("a.back", { href: "#/" }, "All pools"), el("h1", { tabindex: -1 }, "Events")), this.stream.node);
    this.filter(text);
  }

  fits(event) {
    const text = `${event.pool} ${event.vm} ${event.by} ${event.what} ${sentence(event)}`.toLowerCase();
    return this.words.every((word) => text.includes(word));
  }

  filter(text) {
    this.words = split(text);
    this.show();
  }

  show() {
    this.stream.replace(this.model.events.filter((event) => this.fits(event)), this.model.now());
  }

  update({ reset, events }) {
    if (reset) this.show();
    else this.stream.add(events.filter((event) => this.fits(event)), this.model.now());
    return false;
  }
}
