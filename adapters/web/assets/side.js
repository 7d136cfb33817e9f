// The list of conversations: what is unread, what each thread does now, and what rang while nobody looked.

const ICONS = {
  runs: "M4 13h4l2.5-7 4 12 2.5-5h3",
  lobby: "M4 11.5L12 5l8 6.5M6.5 10v9h11v-9",
};

export class Side {
  constructor(on) {
    this.on = on; // {rang(entry), opened(id)}
    for (const id of ["side", "places", "threads", "veil", "menu", "notify"]) this[id] = document.getElementById(id);
    this.mark = document.getElementById("menu-mark");
    this.none = document.getElementById("no-threads");
    this.entries = [];
    this.rang = null;
    this.read = JSON.parse(localStorage.getItem("read") || "{}");
    this.menu.addEventListener("click", () => this.fold(!this.side.classList.contains("open")));
    this.veil.addEventListener("click", () => this.fold(false));
    this.side.addEventListener("click", (event) => event.target.closest("a") && this.fold(false));
    addEventListener("keydown", (event) => event.key === "Escape" && this.fold(false));
    addEventListener("storage", (event) => {
      if (event.key !== "read") return;
      this.read = JSON.parse(event.newValue || "{}");
      this.draw();
    });
  }

  list(entries) {
    const first = !this.rang;
    const known = this.rang || {};
    this.rang = Object.fromEntries(entries.map((entry) => [entry.id, entry.rang]));
    if (!this.read.base) this.read.base = entries.map((entry) => entry.newest).sort().at(-1) || "0";
    this.entries = entries;
    this.seen();
    if (first) return;
    for (const entry of entries) {
      if (entry.rang > (known[entry.id] || "")) this.on.rang(entry);
      if (!(entry.id in known)) this.on.opened(entry.id);
    }
  }

  entry(place) {
    return this.entries.find((entry) => entry.id === place);
  }

  show(place) {
    this.place = place;
    this.seen();
  }

  // What is on the screen is read.
  seen() {
    const entry = this.entry(this.place);
    if (entry?.newest && !document.hidden) this.read[entry.id] = entry.newest;
    const listed = new Set([...this.entries.map(({ id }) => id), "base"]);
    for (const id of Object.keys(this.read)) if (!listed.has(id) && this.entries.length) delete this.read[id];
    try {
      localStorage.setItem("read", JSON.stringify(this.read));
    } catch {
      // a browser without storage shows everything as unread after a reload; nothing else depends on it
    }
    this.draw();
  }

  unread(entry) {
    return entry.id !== "runs" && entry.id !== this.place && entry.newest > (this.read[entry.id] || this.read.base || "");
  }

  draw() {
    const fixed = this.entries.filter(({ id }) => id in ICONS);
    const threads = this.entries.filter(({ id }) => !(id in ICONS));
    this.fill(this.places, fixed);
    this.fill(this.threads, threads);
    this.none.hidden = threads.length > 0;
    this.mark.hidden = !this.entries.some((entry) => this.unread(entry));
  }

  fill(list, entries) {
    const items = new Map([...list.children].map((item) => [item.dataset.id, item]));
    const wanted = entries.map((entry) => this.item(entry, items.get(entry.id)));
    const focused = document.activeElement;
    for (const item of [...list.children]) if (!wanted.includes(item)) item.remove();
    wanted.forEach((item, i) => {
      if (list.children[i] !== item) list.insertBefore(item, list.children[i] || null);
    });
    // What changes its place is taken out for a moment, and whoever had got to it by keyboard would begin again.
    if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
  }

  item(entry, item = document.createElement("li")) {
    const look = JSON.stringify([entry.title, entry.phase, this.unread(entry), entry.id === this.place]);
    if (item.look === look) return item; // a focused link stays the same node
    item.look = look;
    item.dataset.id = entry.id;
    const link = item.querySelector("a") || document.createElement("a");
    link.href = `#${entry.id}`;
    link.className = this.unread(entry) ? "is-unread" : "";
    if (entry.id === this.place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    const about = span("about", "");
    about.append(span("name", entry.title));
    if (entry.phase) about.append(span("word", entry.phase));
    link.replaceChildren(icon(entry), about);
    if (this.unread(entry)) link.append(span("unread", ""), span("sr", "unread"));
    if (!link.isConnected) item.append(link);
    return item;
  }

  fold(open) {
    if (open === this.side.classList.contains("open")) return;
    this.side.classList.toggle("open", open);
    this.veil.hidden = !open;
    this.menu.setAttribute("aria-expanded", String(open));
    document.querySelector("main").inert = open;
    if (open) this.side.querySelector("a[aria-current], a")?.focus();
    else this.menu.focus();
  }
}

function icon(entry) {
  if (!(entry.id in ICONS)) return span(`dot ${entry.look || ""}`, "");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[entry.id]);
  svg.append(path);
  return svg;
}

function span(name, text) {
  const node = document.createElement("span");
  node.className = name;
  node.textContent = text;
  return node;
}
