// Running clocks: every `<time data-since>` shows its age by the bot's clock, whatever this device's clock says.

let ahead = 0;

export const setNow = (now) => (ahead = now - Date.now() / 1000);

export function tick(root = document) {
  const now = Date.now() / 1000 + ahead;
  for (const node of root.querySelectorAll("time[data-since]")) {
    const words = age(now - Number(node.dataset.since));
    if (node.textContent !== words) node.textContent = words;
  }
}

export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

setInterval(tick, 1000);
