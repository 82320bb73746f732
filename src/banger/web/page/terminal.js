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
  scrollback: 10000,
  theme: { overviewRulerBorder: "#000" },
};

/** Show a session in `element`; `tell` is called with a sentence, or null while it is connected. */
export function openTerminal(element, { vm, session, tell }) {
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
  terminal.attachCustomKeyEventHandler((event) => handleKey(terminal, element, event));
  connect();
  return {
    copy: () => copySelection(terminal),
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
function handleKey(terminal, element, event) {
  if (event.shiftKey && event.key === "Escape") {
    terminal.blur();
    element.closest("section").querySelector("button, select").focus();
    return false;
  }
  if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
    event.preventDefault();
    if (event.type === "keydown") copySelection(terminal);
    return false;
  }
  return true;
}

const copySelection = (terminal) => navigator.clipboard.writeText(terminal.getSelection());
