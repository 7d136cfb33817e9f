// The messages of the conversation that is shown, by id and in order of their ids. Looks are upserted: a look that
// comes twice changes nothing, and an older one never replaces a newer one.

import { morph } from "./morph.js";

const NEAR = 80; // pixels from the end that still count as being at the end

export class Log {
  constructor(parts, outbox) {
    Object.assign(this, parts); // {list, scroll, below, earlier, empty, said}
    this.outbox = outbox;
    this.shown = new Map();
    this.stuck = true;
    this.top = 0; // where the reader was when last looked
    this.calm = false; // true once the conversation has loaded: from then on news are announced
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.below.addEventListener("click", () => this.toEnd());
    const watch = new ResizeObserver(() => this.follows() && this.toEnd());
    watch.observe(this.list.parentElement);
    watch.observe(this.scroll);
  }

  begin({ ids, more }, place) {
    const changed = place !== this.place;
    const wanted = new Set(ids);
    for (const [id, item] of this.shown) {
      if (changed || !wanted.has(id)) {
        item.remove();
        this.shown.delete(id);
      } else item.look.rev = -1; // all are told anew, maybe by a bot that was started again and counts from the start
    }
    this.place = place;
    this.oldest = ids[0] || "";
    this.more = more;
    if (changed) {
      this.calm = false;
      this.below.hidden = true;
      this.stuck = place !== "runs";
      if (!this.stuck) this.scroll.scrollTop = 0;
      this.list.setAttribute("aria-busy", "true");
    }
  }

  ready() {
    this.list.removeAttribute("aria-busy");
    this.earlier.hidden = !this.more;
    this.empty.hidden = this.shown.size > 0;
    if (this.stuck) this.toEnd();
    this.calm = true;
  }

  put(look) {
    const old = this.shown.get(look.id);
    if (old && old.look.rev > look.rev) return;
    if (!old && this.more && look.id < this.oldest) return; // "earlier" will bring it
    const follows = this.follows();
    const item = old || this.insert(look.id);
    const news = look.author !== "you" && !look.live && (!old || old.look.live);
    item.look = look;
    item.className = `post ${look.author}`;
    morph(item.querySelector(".body"), look.html);
    this.mark(item);
    this.empty.hidden = true;
    if (!this.calm) return;
    if (follows) this.toEnd();
    else if (!old && look.author !== "you") this.below.hidden = this.place === "runs";
    if (news && !look.board) this.announce(item);
  }

  insert(id) {
    const item = document.createElement("li");
    item.id = `m${id}`;
    const body = document.createElement("div");
    body.className = "body";
    const foot = document.createElement("div");
    item.append(body, foot);
    const after = [...this.list.children].findLast((other) => other.look.id < id);
    if (after) after.after(item);
    else this.list.prepend(item);
    this.shown.set(id, item);
    if (!this.oldest) this.oldest = id;
    return item;
  }

  // The line below a message: when it was said, or that it has not arrived.
  mark(item) {
    const { look } = item;
    const foot = item.lastElementChild;
    const waiting = !look.taken && this.outbox.get(look.key);
    item.classList.toggle("bad", Boolean(look.fault));
    if (look.fault) fill(foot, "fault", look.fault);
    else if (look.taken) fill(foot, "when", look.live || look.opens || look.board ? "" : clock(look.at));
    else if (waiting && !waiting.failed) fill(foot, "sending", "sending…");
    else fill(foot, "fault", waiting?.failed || "Not delivered.", () => this.outbox.again(look.key, this.place));
  }

  remark(key) {
    for (const item of this.shown.values()) if (item.look.key === key) this.mark(item);
  }

  has(key) {
    return [...this.shown.values()].some((item) => item.look.key === key);
  }

  addEarlier({ messages, more }) {
    const height = this.scroll.scrollHeight - this.scroll.scrollTop;
    this.more = false; // let `put` take what is older than the oldest
    const calm = this.calm;
    this.calm = false;
    for (const look of messages) this.put(look);
    this.calm = calm;
    this.more = more;
    if (messages.length) this.oldest = messages[0].id;
    this.earlier.hidden = !more;
    this.scroll.scrollTop = this.scroll.scrollHeight - height;
  }

  // Whether the reader is at the end. The browser tells of scrolling a frame late; who went up meanwhile is not at it.
  follows() {
    if (this.scroll.scrollTop < this.top - 1) this.scrolled();
    return this.stuck;
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    this.top = scrollTop;
    this.stuck = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.stuck) this.below.hidden = true;
  }

  toEnd() {
    if (this.place === "runs") return;
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.top = this.scroll.scrollTop;
    this.stuck = true;
    this.below.hidden = true;
  }

  // For screen readers: whole messages, once, instead of every step of a message that is being written.
  announce(item) {
    const line = document.createElement("p");
    line.textContent = item.querySelector(".body").innerText.slice(0, 400);
    this.said.append(line);
    while (this.said.children.length > 20) this.said.firstChild.remove();
  }
}

export function fill(foot, name, words, again) {
  foot.className = name;
  foot.textContent = words;
  if (!again) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Send again";
  button.addEventListener("click", again);
  foot.append(button);
}

function clock(at) {
  const when = new Date(at * 1000);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}
