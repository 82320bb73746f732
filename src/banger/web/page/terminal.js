// A terminal of xterm.js that is joined with a session of a VM by a WebSocket.
//
// A connection that breaks is made anew: the newest of the session's output is then shown again, and
// what the terminal answers to old queries in it is not sent.

import { FitAddon } from "./vendor/addon-fit.js";
import { Terminal } from "./vendor/xterm.js";
import { call, openTerminalSocket } from "./api.js";
import "./strictstyles.js";

const ACK_BYTES = 65536;
const OLD_BYTES = 262144;
const RETRY_MS = 1000;
const LOST = ["front-unreachable", "daemon-unreachable", "daemon-silent", "outcome-unknown"];
const OPTIONS = {
  // A guest's links open nothing.
  linkHandler: { activate() {} },
  fontFamily: "ui-monospace, monospace",
  fontSize: 14,
  // With less, rows of some fonts are cut where underscores are.
  lineHeight: 1.1,
  scrollback: 10000,
  theme: { overviewRulerBorder: "#000" },
};

/**
 * Show a session in `element`; `tell` is called with a sentence, or null while it is connected, and
 * `tellCopy` after each copy with an error, or null.
 */
export function openTerminal(element, { vm, session, tell, tellCopy }) {
  const terminal = new Terminal(OPTIONS);
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(element);
  fit.fit();
  let link = null;
  let timer = null;
  const connect = async () => {
    try {
      const { output_bytes, kept_from } = await call("session.show", { ref: vm, name: session });
      const position = Math.max(kept_from, output_bytes - OLD_BYTES);
      const query = { session, position };
      if (timer !== CLOSED) link = join(terminal, { vm, query, old: output_bytes - position, ended, opened });
    } catch (error) {
      ended(LOST.includes(error.code) ? null : error.message);
    }
  };
  const opened = () => {
    tell(null);
    terminal.reset();
    terminal.focus();
  };
  const ended = (sentence) => {
    if (timer === CLOSED) return;
    tell(sentence ?? "The connection broke. Connecting again…");
    if (!sentence) timer = setTimeout(connect, RETRY_MS);
  };
  const size = new ResizeObserver(() => fit.fit());
  size.observe(element);
  const copy = () => copySelection(terminal).then(tellCopy, () => tellCopy(UNCOPIED));
  terminal.attachCustomKeyEventHandler((event) => handleKey(event, { terminal, element, copy }));
  connect();
  return {
    copy,
    close() {
      clearTimeout(timer);
      timer = CLOSED;
      size.disconnect();
      link?.close();
      terminal.dispose();
    },
  };
}

const CLOSED = Symbol("closed");
const UNCOPIED = { message: "The browser does not let this page copy." };

/** Connect; the first `old` bytes were there before. */
function join(terminal, { vm, query, old, opened, ended }) {
  const socket = openTerminalSocket(vm, { ...query, cols: terminal.cols, rows: terminal.rows });
  socket.binaryType = "arraybuffer";
  let shown = 0;
  let acknowledged = 0;
  let sentence = null;
  const send = (data) => socket.readyState === WebSocket.OPEN && socket.send(data);
  const show = (data) => {
    const bytes = new Uint8Array(data);
    terminal.write(bytes, () => {
      shown += bytes.length;
      if (shown - acknowledged < ACK_BYTES) return;
      send(JSON.stringify({ ack: shown - acknowledged }));
      acknowledged = shown;
    });
  };
  const encoder = new TextEncoder();
  const listeners = [
    terminal.onData((text) => shown >= old && send(encoder.encode(text))),
    terminal.onBinary((text) => shown >= old && send(Uint8Array.from(text, (c) => c.charCodeAt(0)))),
    terminal.onResize(({ cols, rows }) => send(JSON.stringify({ resize: [cols, rows] }))),
  ];
  socket.onopen = opened;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") sentence = tellEnd(JSON.parse(data)) ?? sentence;
    else show(data);
  };
  socket.onclose = () => {
    for (const listener of listeners) listener.dispose();
    ended(sentence);
  };
  return socket;
}

function tellEnd({ exit, error }) {
  if (error) return LOST.includes(error.code) ? null : error.message;
  return exit === undefined ? null : `The session ended with status ${exit}.`;
}

/** Shift+Escape leaves the terminal, which takes all other keys; Ctrl+Shift+C copies. */
function handleKey(event, { terminal, element, copy }) {
  if (event.shiftKey && event.key === "Escape") {
    terminal.blur();
    element.closest("section").querySelector("button, select").focus();
    return false;
  }
  if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
    event.preventDefault();
    if (event.type === "keydown") copy();
    return false;
  }
  return true;
}

// A browser has no clipboard for pages of other machines without TLS.
async function copySelection(terminal) {
  await navigator.clipboard.writeText(terminal.getSelection());
}
