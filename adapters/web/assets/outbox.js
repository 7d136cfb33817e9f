// What a person sent and the bot has not confirmed. It outlives a reload (one entry each in localStorage) and is sent
// again with the same id until the bot has it, which the bot takes as one message.

import { newId, post } from "./api.js";
import { fill } from "./log.js";

const KEY = "out.";

export class Outbox {
  constructor(list, on) {
    this.list = list;
    this.on = on; // {change(id), refused(item, words), known(id)}
    this.items = new Map();
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(KEY)) this.restore(key);
    }
  }

  restore(key) {
    try {
      const item = JSON.parse(localStorage.getItem(key));
      this.items.set(item.id, item);
    } catch {
      localStorage.removeItem(key);
    }
  }

  get(id) {
    return this.items.get(id);
  }

  add(conversation, text, files) {
    const item = { id: newId(), conversation, text, files };
    this.items.set(item.id, item);
    keep(item);
    this.draw();
    return this.send(item);
  }

  // Words that only the bot still has (another browser sent them, or this one forgot).
  again(id, conversation) {
    const item = this.items.get(id) || { id, conversation, again: true };
    this.items.set(id, item);
    item.tries = 0;
    return this.send(item);
  }

  flush() {
    for (const item of this.items.values()) {
      item.tries = 0;
      this.send(item);
    }
  }

  async send(item) {
    if (item.busy) return;
    clearTimeout(item.timer);
    item.busy = true;
    item.failed = "";
    this.changed(item);
    const { id, conversation, text, files, again } = item;
    try {
      await post("/api/send", again ? { id, conversation, again } : { id, conversation, text, files });
      this.drop(item);
    } catch (error) {
      if (error.retry) {
        item.failed = `Not sent. ${error.message}`;
        item.tries = (item.tries || 0) + 1;
        item.timer = setTimeout(() => this.send(item), Math.min(15000, 1000 * 2 ** item.tries));
      } else {
        this.drop(item);
        this.on.refused(item, error.message);
      }
    }
    item.busy = false;
    this.changed(item);
  }

  drop(item) {
    this.items.delete(item.id);
    localStorage.removeItem(KEY + item.id);
  }

  changed(item) {
    this.draw();
    this.on.change(item.id);
  }

  show(place) {
    this.place = place;
    this.draw();
  }

  // Only what the log does not show already; the log marks its own.
  draw() {
    const waiting = [...this.items.values()].filter((item) => item.conversation === this.place && !item.again && !this.on.known(item.id));
    this.list.replaceChildren(...waiting.map((item) => this.bubble(item)));
  }

  bubble(item) {
    const post = document.createElement("li");
    post.className = "post you";
    const body = document.createElement("div");
    body.className = "body said";
    body.textContent = [item.text.slice(0, 2000), ...item.files.map((file) => file.name)].filter(Boolean).join("\n");
    const foot = document.createElement("div");
    post.append(body, foot);
    if (item.failed) fill(foot, "fault", item.failed, () => this.again(item.id, item.conversation));
    else fill(foot, "sending", "sending…");
    return post;
  }
}

function keep({ id, conversation, text, files }) {
  try {
    localStorage.setItem(KEY + id, JSON.stringify({ id, conversation, text, files }));
  } catch {
    // the browser's storage is full or closed: the message still goes out, it just would not outlive a reload
  }
}
