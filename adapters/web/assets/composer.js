// The box in which one writes: drafts by conversation, files, the list of commands, and when Enter sends.

import { upload } from "./api.js";

const touch = matchMedia("(pointer: coarse)");

export class Composer {
  constructor(on) {
    this.on = on; // {send(text, files)}
    for (const id of ["composer", "words", "send", "files", "attached", "commands", "trouble"]) this[id] = document.getElementById(id);
    this.list = [];
    this.picked = 0;
    this.chips = [];
    this.words.addEventListener("input", () => this.typed());
    this.words.addEventListener("keydown", (event) => this.key(event));
    this.words.addEventListener("paste", (event) => this.pasted(event));
    this.words.addEventListener("blur", () => this.close());
    this.composer.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.commands.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the box keeps the focus
      const item = event.target.closest("li");
      if (item) this.take(item.dataset.name);
    });
    this.files.addEventListener("change", () => {
      this.attach(this.files.files);
      this.files.value = "";
    });
    this.dropOn(document.querySelector("main"));
  }

  show(place) {
    this.place = place;
    this.composer.hidden = place === "runs";
    this.words.placeholder = place === "lobby" ? "Message, or / for commands" : "Reply, or / for commands";
    this.words.value = localStorage.getItem(`draft.${place}`) || "";
    this.trouble.textContent = "";
    this.size();
    this.close();
  }

  typed() {
    this.trouble.textContent = "";
    this.remember();
    this.size();
    this.suggest();
  }

  remember() {
    const key = `draft.${this.place}`;
    try {
      if (this.words.value) localStorage.setItem(key, this.words.value);
      else localStorage.removeItem(key);
    } catch {
      this.trouble.textContent = "This browser does not keep drafts; copy a long text before you leave.";
    }
  }

  size() {
    this.words.style.height = "auto";
    this.words.style.height = `${this.words.scrollHeight}px`;
    this.send.setAttribute("aria-disabled", String(!this.words.value.trim() && !this.chips.length));
  }

  put(text) {
    this.words.value = text;
    this.typed();
    this.words.focus();
  }

  key(event) {
    if (event.isComposing) return;
    if (!this.commands.hidden && this.choose(event)) return event.preventDefault();
    const sends = event.key === "Enter" && !event.shiftKey && !event.altKey && (!touch.matches || event.ctrlKey || event.metaKey);
    if (sends) {
      event.preventDefault();
      this.submit();
    }
  }

  async submit() {
    const { place } = this;
    const text = this.words.value;
    if (!text.trim() && !this.chips.length) return;
    if (this.chips.some((chip) => chip.failed)) return this.say("Remove the file that could not be uploaded, or attach it again.");
    const chips = this.chips;
    if (chips.some((chip) => !chip.file)) {
      this.say("Uploading…");
      await Promise.all(chips.map((chip) => chip.done));
      if (place !== this.place || chips.some((chip) => chip.failed)) return;
      return this.submit();
    }
    this.chips = [];
    this.drawChips();
    this.words.value = "";
    this.typed();
    this.on.send(text, chips.map((chip) => chip.file));
  }

  say(words) {
    this.trouble.textContent = words;
  }

  // --- commands

  suggest() {
    const text = this.words.value;
    const fits = /^\/\S*$/.test(text) ? this.list.filter(([name]) => name.startsWith(text.toLowerCase())) : [];
    this.picked = 0;
    this.commands.replaceChildren(...fits.map(([name, help], i) => option(name, help, i)));
    this.commands.hidden = !fits.length;
    this.highlight();
  }

  highlight() {
    const items = [...this.commands.children];
    items.forEach((item, i) => item.setAttribute("aria-selected", String(i === this.picked)));
    if (this.commands.hidden) this.words.removeAttribute("aria-activedescendant");
    else this.words.setAttribute("aria-activedescendant", items[this.picked].id);
    items[this.picked]?.scrollIntoView({ block: "nearest" });
  }

  choose(event) {
    const many = this.commands.children.length;
    const name = this.commands.children[this.picked]?.dataset.name;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.picked = (this.picked + (event.key === "ArrowDown" ? 1 : many - 1)) % many;
      this.highlight();
      return true;
    }
    if (event.key === "Escape") return this.close(), true;
    const takes = event.key === "Tab" || (event.key === "Enter" && this.words.value !== name);
    if (takes && !event.shiftKey) return this.take(name), true;
    return false;
  }

  take(name) {
    this.put(`${name} `);
  }

  close() {
    this.commands.hidden = true;
    this.words.removeAttribute("aria-activedescendant");
  }

  // --- files

  pasted(event) {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      this.attach(event.clipboardData.files);
    }
  }

  dropOn(area) {
    area.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.classList.add("dropping");
    });
    for (const name of ["dragleave", "drop"]) area.addEventListener(name, () => area.classList.remove("dropping"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      if (!this.composer.hidden) this.attach(event.dataTransfer.files);
    });
  }

  attach(files) {
    for (const file of files) {
      const chip = { name: file.name, stop: new AbortController() };
      chip.done = upload(file, chip.stop.signal)
        .then((kept) => (chip.file = kept))
        .catch((error) => {
          chip.failed = error.message;
          this.say(`${file.name}: ${error.message}`);
        })
        .finally(() => this.drawChips());
      this.chips.push(chip);
    }
    this.drawChips();
    this.words.focus();
  }

  drawChips() {
    this.attached.replaceChildren(...this.chips.map((chip) => this.chip(chip)));
    if (this.chips.every((chip) => chip.file) && this.trouble.textContent === "Uploading…") this.say("");
    this.size();
  }

  chip(chip) {
    const item = document.createElement("li");
    item.classList.toggle("failed", Boolean(chip.failed));
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = chip.file ? chip.name : chip.failed ? `${chip.name}: not uploaded` : `${chip.name} …`;
    const off = document.createElement("button");
    off.type = "button";
    off.textContent = "✕";
    off.setAttribute("aria-label", `Remove ${chip.name}`);
    off.addEventListener("click", () => {
      chip.stop.abort();
      this.chips = this.chips.filter((other) => other !== chip);
      this.drawChips();
      this.words.focus();
    });
    item.append(name, off);
    return item;
  }
}

function option(name, help, i) {
  const item = document.createElement("li");
  item.id = `command-${i}`;
  item.dataset.name = name;
  item.setAttribute("role", "option");
  const strong = document.createElement("b");
  strong.textContent = name;
  const words = document.createElement("span");
  words.className = "quiet";
  words.textContent = help;
  item.append(strong, words);
  return item;
}
