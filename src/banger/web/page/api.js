// Requests to the front that the page came from. Answers are data of the daemon and of guests:
// everything of them is shown as text.

export class ApiError extends Error {
  constructor({ code, message, hint }) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

const UNREACHABLE = {
  code: "front-unreachable",
  message: "The web front does not answer.",
  hint: "banger ui",
};

const BROKEN = { code: "answer-broken", message: "The web front's answer broke off." };

// Half of what a login needs; the other is a cookie, which browsers send to other ports too.
const KEY = "login-key";
const loginKey = () => localStorage.getItem(KEY) ?? "";

const post = (path, body, options = {}) =>
  request(path, { method: "POST", body: JSON.stringify(body), ...options });

async function request(path, options) {
  const headers = { "Content-Type": "application/json", "Banger-Login-Key": loginKey(), ...options.headers };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError(UNREACHABLE);
  }
  if (!answer.ok) throw new ApiError(await parseError(answer));
  return answer;
}

async function parseError(answer) {
  try {
    const error = await answer.json();
    return answer.status === 401 ? { ...error, hint: "banger ui" } : error;
  } catch {
    return { code: "http", message: `The web front answers ${answer.status}.` };
  }
}

/** Exchange the one-time token of `banger ui` for a login. */
export async function openSession(token) {
  const { key } = await (await post("/session", { token })).json();
  localStorage.setItem(KEY, key);
}

/** End the login of this browser. */
export async function closeSession() {
  await post("/session", {}, { method: "DELETE" });
  localStorage.removeItem(KEY);
}

/** Yield null when a stream of what happens to VMs has begun, then each event. */
export async function* watch() {
  const answer = await request("/api/events", {});
  yield null;
  yield* parseEvents(answer.body);
}

/** Return the result of a method. */
export async function call(method, params = {}) {
  return (await post(`/api/${method}`, params)).json();
}

/** Return the result of a method; `onProgress` is called with each stage. */
export async function follow(method, params, onProgress) {
  const answer = await post(`/api/${method}`, params, { headers: { Accept: "text/event-stream" } });
  for await (const { event, data } of parseEvents(answer.body)) {
    if (event === "progress") onProgress(data);
    else if (event === "result") return data;
    else if (event === "error") throw new ApiError(data);
  }
  throw new ApiError(UNREACHABLE);
}

async function* parseEvents(body) {
  let rest = "";
  for await (const text of readText(body)) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
      const data = fields.filter(([name]) => name === "data").map(([, value]) => value);
      const event = fields.find(([name]) => name === "event")?.[1] ?? "message";
      if (data.length) yield { event, data: JSON.parse(data.join("\n")) };
    }
  }
}

async function* readText(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError(BROKEN);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Yield the text of a method that answers with a stream, until `signal`, if given, aborts it. */
export async function* read(method, params, signal) {
  const headers = { Accept: "application/octet-stream" };
  yield* readText((await post(`/api/${method}`, params, { signal, headers })).body);
}

/** Open the WebSocket of a terminal in a VM. */
export function openTerminalSocket(vm, query) {
  const url = new URL(`/api/vms/${encodeURIComponent(vm)}/terminal`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams(query);
  return new WebSocket(url, ["banger", loginKey()].filter(Boolean));
}
