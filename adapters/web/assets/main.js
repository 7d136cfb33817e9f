// The page: which conversation is shown, and who hears what. The address's hash names the conversation.

import { get, newId, post } from "./api.js";
import { setNow, tick } from "./clock.js";
import { Composer } from "./composer.js";
import { Log } from "./log.js";
import { Bell } from "./notify.js";
import { Outbox } from "./outbox.js";
import { Side } from "./side.js";
import { Stream } from "./stream.js";

const at = (id) => document.getElementById(id);
const JUMP = 60000; // a thread that opens so soon after my own words in the lobby is mine: go there

let place = "";
let acted = 0;
let serving = true;
let connected = true;

const bell = new Bell(at("notify"));
const outbox = new Outbox(at("outbox"), {
  change: (id) => log.remark(id),
  known: (id) => log.has(id),
  refused: (item, words) => {
    if (item.conversation !== place) return;
    if (!item.again && !composer.words.value) composer.put(item.text);
    composer.say(words);
  },
});
const log = new Log(
  { list: at("log"), scroll: at("scroll"), below: at("below"), earlier: at("earlier"), empty: at("empty"), said: at("said") },
  { get: (id) => outbox.get(id), again: (id, conversation) => outbox.again(id, conversation) },
);
const composer = new Composer({ send: say });
const side = new Side({
  rang: (entry) => bell.ring(entry),
  opened: (id) => {
    if (place !== "lobby" || Date.now() - acted > JUMP || composer.words.value) return;
    acted = 0;
    location.hash = id;
  },
});
const stream = new Stream({
  hello: (hello) => {
    setNow(hello.now);
    composer.list = hello.commands;
    at("logout").hidden = !hello.login;
    if (hello.serving && !serving) outbox.flush();
    serving = hello.serving;
    status();
  },
  threads: (entries) => {
    side.list(entries);
    heading();
  },
  state: (state) => log.begin(state, place),
  message: (look) => {
    log.put(look);
    if (look.key) outbox.draw();
    tick(at("log"));
  },
  ready: () => {
    log.ready();
    outbox.draw();
    side.seen();
  },
  up: () => {
    connected = true;
    outbox.flush();
    status();
  },
  down: () => {
    connected = false;
    status();
    explain();
  },
});

function go() {
  const wanted = location.hash.slice(1);
  const next = /^(lobby|runs|[0-9a-f]{16})$/.test(wanted) ? wanted : "lobby";
  if (next === place) return;
  place = next;
  emptyWords();
  composer.show(place);
  outbox.show(place);
  side.show(place);
  heading();
  log.begin({ ids: [], more: false }, place);
  stream.show(place);
  at("skip").hidden = place === "runs";
  if (place !== "runs" && matchMedia("(pointer: fine)").matches) composer.words.focus();
  else at("title").focus({ preventScroll: true });
}

function heading() {
  const entry = side.entry(place);
  const name = entry?.title || (place === "runs" ? "Runs" : place === "lobby" ? "Lobby" : "Thread");
  at("title").textContent = name;
  at("title").title = name;
  bell.title(name);
  const phase = at("phase");
  phase.hidden = !entry?.phase;
  phase.className = `phase ${entry?.look || ""}`;
  phase.textContent = entry?.phase || "";
}

function status() {
  at("link").textContent = !connected ? "reconnecting…" : !serving ? "the bot is starting…" : "";
}

// Why there is no stream: the session ended (the call leads to the login), or the conversation does not exist.
async function explain() {
  const asked = place;
  try {
    await get(`/api/earlier?conversation=${asked}&before=0000000000000001`);
  } catch (error) {
    if (error.retry || asked !== place || place === "lobby") return;
    history.replaceState(null, "", "#lobby");
    go();
    composer.say(error.message);
  }
}

function emptyWords() {
  const texts = {
    lobby: ["What shall an agent do?", "Give an agent a task. It works in a thread of its own, where you can watch, answer and stop it."],
    runs: ["Nothing is running", "Launch an agent in the lobby; it appears here while it works."],
  };
  const [title, words] = texts[place] || ["Nothing was said yet", "Write below; the agent reads it."];
  const empty = at("empty");
  const icon = Object.assign(document.createElement("img"), { src: "/static/icon.svg", alt: "", width: 52, height: 52 });
  const head = Object.assign(document.createElement("h2"), { textContent: title });
  const text = Object.assign(document.createElement("p"), { textContent: words });
  empty.replaceChildren(icon, head, text);
  empty.hidden = true;
  if (place !== "lobby") return;
  const start = Object.assign(document.createElement("div"), { className: "start" });
  for (const [label, command] of [["Launch an agent", "/launch"], ["What can I do here?", "/help"]]) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "tap", textContent: label });
    button.addEventListener("click", () => say(command, []));
    start.append(button);
  }
  empty.append(start);
}

function say(text, files) {
  acted = place === "lobby" ? Date.now() : 0;
  log.toEnd();
  outbox.add(place, text, files);
  log.toEnd();
}

async function press(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const message = button.closest("li.post").look.id;
  const body = { id: newId(), conversation: place, message, token: button.dataset.press };
  button.setAttribute("aria-disabled", "true");
  acted = place === "lobby" ? Date.now() : 0;
  for (let tries = 0; ; tries++) {
    try {
      await post("/api/press", body);
      break;
    } catch (error) {
      if (!error.retry || tries >= 4) {
        composer.say(error.message);
        at("link").textContent = error.message;
        break;
      }
      await new Promise((done) => setTimeout(done, 500 * 2 ** tries));
    }
  }
  setTimeout(() => button.removeAttribute("aria-disabled"), 1500);
}

async function copy(button) {
  const text = button.closest(".code").querySelector("pre").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const range = document.createRange(); // without https there is no clipboard: the text is selected instead
    range.selectNodeContents(button.closest(".code").querySelector("pre"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

at("column").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.press) press(button);
  else if (button?.classList.contains("copy")) copy(button);
});
at("earlier").addEventListener("click", async (event) => {
  event.target.disabled = true;
  const asked = place;
  try {
    const found = await get(`/api/earlier?conversation=${asked}&before=${log.oldest}`);
    if (asked === place) log.addEarlier(found);
    tick(at("log"));
  } catch (error) {
    composer.say(error.message);
  }
  event.target.disabled = false;
});
addEventListener("hashchange", go);
document.addEventListener("visibilitychange", () => side.seen());
go();
