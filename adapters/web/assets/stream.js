// The stream of one conversation. It reconnects by itself with the last id it got, so that the bot sends what was
// missed; a connection that went silent (a phone that slept) counts as lost.

const SILENCE = 40000;

export class Stream {
  constructor(on) {
    this.on = on; // {hello, threads, state, message, ready, up, down}
    this.last = "";
    this.tries = 0;
    setInterval(() => this.check(), 5000);
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => this.visible());
  }

  show(place) {
    this.place = place;
    this.last = "";
    this.open();
  }

  open() {
    this.close();
    this.heard = Date.now();
    const query = new URLSearchParams({ conversation: this.place, last: this.last });
    const source = (this.source = new EventSource(`/events?${query}`));
    for (const name of ["hello", "threads", "state", "message", "ready", "ping"]) {
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.heard = Date.now();
        if (name === "hello") this.up();
        if (event.lastEventId) this.last = event.lastEventId;
        this.on[name]?.(JSON.parse(event.data));
      });
    }
    source.onerror = () => source === this.source && this.lost();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  up() {
    this.tries = 0;
    this.on.up();
  }

  lost() {
    this.close(); // our own pace instead of the browser's, and it also comes back from a refusal
    this.on.down();
    const wait = Math.min(10000, 300 * 2 ** this.tries++) * (0.7 + 0.6 * Math.random());
    this.timer = setTimeout(() => this.open(), wait);
  }

  again() {
    if (this.place && !this.yielded) {
      this.tries = 0;
      this.open();
    }
  }

  check() {
    if (this.source && Date.now() - this.heard > SILENCE) this.lost();
  }

  // A browser gives one host six connections. Of the hidden tabs only one keeps its stream (it marks its title when an
  // agent rings); the others open theirs again when they are looked at.
  async visible() {
    if (!document.hidden) {
      this.release?.();
      this.yielded = false;
      if (!this.source || Date.now() - this.heard > 20000) this.again();
    } else if (navigator.locks) {
      await navigator.locks.request("hidden stream", { ifAvailable: true }, (lock) => {
        if (!document.hidden) return null;
        if (lock) return new Promise((done) => (this.release = done));
        this.yielded = true;
        this.close();
      });
    }
  }
}
