// Server-sent events, read by fetch: unlike EventSource it hears the comments that say "still there", so that a line
// that went dead without a word is noticed, and it can come again after a refusal. A tab that nobody sees lets go of its
// line, for a browser has six for each host, and all its tabs share them; what happened meanwhile is told on its return.

const SILENCE = 25; // seconds without a byte, when a comment comes every 15
const HIDDEN = 15; // seconds until a hidden tab lets go
const FULL = 10; // seconds until it asks again where there was no room

export class Feed {
  /** `tell(kind, data)` is called for each event; `link(up, why, away)` when the line comes up or goes down;
   *  `away`: it is up, but the service knows nothing. */
  constructor(url, tell, link) {
    Object.assign(this, { url, tell, link, last: "", retry: 2, heard: 0 });
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
        this.link(false, "the service has hung up");
      } catch (error) {
        if (error instanceof Refused) pause = FULL;
        this.link(error instanceof Resting ? null : false, error.message);
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
    this.heard = Date.now();
    const watch = setInterval(() => {
      if (Date.now() - this.heard > SILENCE * 1000) cut.abort(new Error("the service says nothing"));
    }, 1000);
    try {
      const headers = this.last ? { "Last-Event-ID": this.last } : {};
      const reply = await fetch(this.url, { headers, signal: cut.signal, cache: "no-store" })
        .catch((error) => { throw cut.signal.aborted ? cut.signal.reason : new Error("the service cannot be reached"); });
      if (!reply.ok) throw new Refused((await reply.json().catch(() => ({}))).message ?? `status ${reply.status}`);
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
        .catch(() => { throw signal.aborted ? signal.reason : new Error("the line to the service broke"); });
      if (done) return;
      this.heard = Date.now();
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
    if (field.event === "away") this.link(false, JSON.parse(field.data).message, true);
    else if (field.data) {
      this.tell(field.event, JSON.parse(field.data));
      if (field.id) this.last = field.id;
    }
    if (field.event === "state") this.link(true);
  }
}

class Refused extends Error {}
class Resting extends Error {}
