// Loads a document on request: at most once a second, and never twice at the same time.

const PAUSE = 1000; // milliseconds

export class Loader {
  /** `url()` is called for each request; `loaded` gets the document, `failed` the error. */
  constructor(url, loaded, failed = () => {}) {
    Object.assign(this, { url, loaded, failed, busy: false, again: false, stopped: false });
  }

  ask() {
    if (this.busy) this.again = true;
    else this.load();
  }

  async load() {
    this.busy = true;
    this.again = false;
    try {
      const url = this.url();
      const data = await read(url);
      if (!this.stopped && url === this.url()) this.loaded(data);
    } catch (error) {
      if (!this.stopped) this.failed(error);
    }
    setTimeout(() => {
      this.busy = false;
      if (this.again && !this.stopped) this.load();
    }, PAUSE);
  }

  stop() {
    this.stopped = true;
  }
}

/** Reads a document of the service. Throws NotThere, or an error with the reason. */
async function read(url) {
  const reply = await fetch(url).catch(() => { throw new Error("The service cannot be reached"); });
  if (reply.status === 404) throw new NotThere("It is unknown");
  if (!reply.ok) throw new Error(`The service answers ${reply.status}`);
  return reply.json();
}

export class NotThere extends Error {}
