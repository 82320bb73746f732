// What a VM's console, its VMM and its sessions have written.

import { html, useEffect, useRef, useState } from "../preact.js";
import { call, read } from "../api.js";
import { Failure, useLoaded } from "../parts.js";
import { printable } from "../text.js";

const MOST_CHARACTERS = 2 ** 19;
const TAIL = 1000;

const logs = (vm, sessions) => [
  ["Console", "vm.logs", { ref: vm.id, log: "console" }],
  ["VMM", "vm.logs", { ref: vm.id, log: "vmm" }],
  ...(sessions ?? []).map(({ name }) => [`Session ${name}`, "session.attach", { ref: vm.id, name }]),
];

export function LogsTab({ vm }) {
  const isRunning = vm.state === "running";
  const load = () => (isRunning ? call("session.list", { ref: vm.id }) : []);
  const { value: sessions, error } = useLoaded(load, [vm.id, vm.state]);
  const [chosen, choose] = useState("Console");
  const all = logs(vm, sessions);
  const [title, method, params] = all.find(([name]) => name === chosen) ?? all[0];
  return html`<div class="actions">
      <label>
        Log
        <select value=${title} onChange=${(event) => choose(event.target.value)}>
          ${all.map(([name]) => html`<option>${name}</option>`)}
        </select>
      </label>
    </div>
    <${Failure} error=${error} />
    <${Log} key=${title} method=${method} params=${params} />`;
}

/** The newest lines of a log, and those that come. */
function Log({ method, params }) {
  const [{ text, error }, set] = useState({ text: "" });
  const element = useRef();
  useEffect(() => {
    const abort = new AbortController();
    followLog(method, params, abort.signal, set).catch((failed) => {
      if (!abort.signal.aborted) set((old) => ({ ...old, error: failed }));
    });
    return () => abort.abort();
  }, []);
  useEffect(() => {
    element.current.scrollTop = element.current.scrollHeight;
  }, [text]);
  return html`<${Failure} error=${error} />
    <pre class="log" role="log" tabindex="0" aria-label="Log" ref=${element}>${printable(text)}</pre>`;
}

async function followLog(method, params, signal, set) {
  for await (const piece of read(method, { ...params, follow: true, tail: TAIL }, signal)) {
    set(({ text }) => ({ text: (text + piece).slice(-MOST_CHARACTERS) }));
  }
}
