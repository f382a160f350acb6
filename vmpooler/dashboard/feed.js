// Server-sent events, read by fetch. Unlike EventSource, fetch also returns the keep-alive comments, so that a dead
// connection is noticed, and it can retry after a refusal. A hidden tab disconnects: a browser has six connections for
// each host, shared by all tabs. When the tab is shown again, the service replays the events that it missed.

const SILENCE = 25; // seconds without data until the connection counts as dead; a comment arrives every 15
const HIDDEN = 15; // seconds until a hidden tab disconnects
const FULL = 10; // seconds until a retry after a refusal

export class Feed {
  /** `onEvent(kind, data)` is called for each event, `onLink(up, why, away)` when the connection opens or closes;
   *  `away`: it is open, but the service cannot reach Redis. */
  constructor(url, onEvent, onLink) {
    Object.assign(this, { url, onEvent, onLink, last: "", retry: 2, received: 0 });
    addEventListener("online", () => this.hurry?.());
    addEventListener("pagehide", () => this.cut?.abort(new Resting()));
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.hidden);
      if (document.hidden) this.hidden = setTimeout(() => this.cut?.abort(new Resting()), HIDDEN * 1000);
      else this.hurry?.();
    });
  }

  async run() {
    for (;;) {
      let pause = this.retry;
      while (document.hidden) await this.wait(60);
      try {
        await this.listen();
        this.onLink(false, "the service closed the connection");
      } catch (error) {
        if (error instanceof EventsRefused) pause = FULL;
        this.onLink(error instanceof Resting ? null : false, error.message);
      }
      await this.wait(pause * (0.5 + Math.random() / 2));
    }
  }

  wait(seconds) {
    return new Promise((done) => {
      const timer = setTimeout(done, seconds * 1000);
      this.hurry = () => (clearTimeout(timer), done());
    });
  }

  async listen() {
    const cut = this.cut = new AbortController();
    this.received = Date.now();
    const watch = setInterval(() => {
      if (Date.now() - this.received > SILENCE * 1000) cut.abort(new Error("the service sends nothing"));
    }, 1000);
    try {
      const headers = this.last ? { "Last-Event-ID": this.last } : {};
      const reply = await fetch(this.url, { headers, signal: cut.signal, cache: "no-store" })
        .catch((error) => { throw cut.signal.aborted ? cut.signal.reason : new Error("the service cannot be reached"); });
      if (!reply.ok) throw new EventsRefused((await reply.json().catch(() => ({}))).message ?? `status ${reply.status}`);
      await this.read(reply.body.pipeThrough(new TextDecoderStream()).getReader(), cut.signal);
    } finally {
      clearInterval(watch);
      cut.abort();
    }
  }

  async read(reader, signal) {
    let kept = "";
    for (;;) {
      const { value, done } = await reader.read()
        .catch(() => { throw signal.aborted ? signal.reason : new Error("the connection to the service was lost"); });
      if (done) return;
      this.received = Date.now();
      const frames = (kept + value).split("\n\n");
      kept = frames.pop();
      for (const frame of frames) this.take(frame);
    }
  }

  take(frame) {
    const field = { event: "message", data: "" };
    for (const line of frame.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) field[line.slice(0, at)] = line.slice(at + 2);
    }
    if (field.retry) this.retry = Number(field.retry) / 1000;
    if (field.event === "away") this.onLink(false, JSON.parse(field.data).message, true);
    else if (field.data) {
      this.onEvent(field.event, JSON.parse(field.data));
      if (field.id) this.last = field.id;
    }
    if (field.event === "state") this.onLink(true);
  }
}

class EventsRefused extends Error {}
class Resting extends Error {}
