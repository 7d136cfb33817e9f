// Calls for attention: a mark in the tab's title, and a notification where the browser and the person allow one.

export class Bell {
  constructor(button) {
    this.button = button;
    this.name = "";
    this.marked = false;
    document.addEventListener("visibilitychange", () => !document.hidden && this.calm());
    if (!("Notification" in window)) return;
    button.hidden = Notification.permission !== "default";
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      button.hidden = true;
    });
  }

  title(name) {
    this.name = name;
    document.title = `${this.marked ? "(!) " : ""}${name} · RJ AI Army`;
  }

  ring(entry) {
    if (!document.hidden) return;
    this.marked = true;
    this.title(this.name);
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    try {
      const note = new Notification(entry.title, { body: entry.phase || "has news for you", tag: entry.id, icon: "/static/icon.svg" });
      note.onclick = () => {
        focus();
        location.hash = entry.id;
        note.close();
      };
    } catch {
      // some phones allow notifications only from a service worker; the mark in the title stays
    }
  }

  calm() {
    this.marked = false;
    this.title(this.name);
  }
}
