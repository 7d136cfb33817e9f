// Calls to the bot. A refusal is an Error with the bot's own sentence; `retry` says whether the same may be sent again.

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID exists on https alone
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

export class Refusal extends Error {
  constructor(words, retry) {
    super(words);
    this.retry = retry;
  }
}

export const post = (path, body) =>
  call(path, { method: "POST", headers: { "X-Army": "1", "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const upload = (file, signal) =>
  call(`/api/upload?name=${encodeURIComponent(file.name)}`, {
    method: "POST", headers: { "X-Army": "1", "Content-Type": "application/octet-stream" }, body: file, signal,
  }, 600000);

export const get = (path) => call(path, {});

async function call(path, options, patience = 30000) {
  let response;
  const late = AbortSignal.timeout(patience);
  try {
    const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
    response = await fetch(path, { ...options, signal, credentials: "same-origin" });
  } catch {
    throw new Refusal("No connection to the bot.", true);
  }
  if (response.status === 401) {
    location.assign("/login");
    throw new Refusal("Log in again.", true);
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new Refusal(body.words || `The bot answered ${response.status}.`, response.status >= 500 || response.status === 408);
}
