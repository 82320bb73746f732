// Shells of a VM. Each is a session: it goes on while nobody looks, and is found again.

import { html, useEffect, useRef, useState } from "../preact.js";
import { call } from "../api.js";
import { Action, Failure, useLoaded } from "../parts.js";
import { openTerminal } from "../terminal.js";
import { printable } from "../text.js";

const SHELL = {
  argv: ["/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l'],
  env: { TERM: "xterm-256color", COLORTERM: "truecolor" },
  stdin: true,
  terminal: { rows: 24, columns: 80, modes: [] },
};

async function loadShells(vm) {
  const sessions = await call("session.list", { ref: vm.id });
  return sessions.filter((each) => each.terminal && each.takes_input && each.state === "running");
}

export function TerminalTab({ vm }) {
  const isRunning = vm.state === "running";
  const { value: shells, error, reload } = useLoaded(() => (isRunning ? loadShells(vm) : []), [vm.id, vm.state]);
  const [chosen, choose] = useState(null);
  const start = async () => {
    const { name } = await call("session.start", { ref: vm.id, ...SHELL });
    await reload();
    choose(name);
  };
  if (!isRunning) return html`<p class="note">The VM does not run.</p>`;
  const current = shells?.some(({ name }) => name === chosen) ? chosen : shells?.at(-1)?.name;
  return html`<div class="actions">
      ${shells?.length > 0 &&
      html`<label>
        Shell
        <select value=${current} onChange=${(event) => choose(event.target.value)}>
          ${shells.map(({ name, argv }) => html`<option value=${name}>${name}: ${printable(argv[0])}</option>`)}
        </select>
      </label>`}
      <${Action} run=${start}>New shell<//>
    </div>
    <${Failure} error=${error} />
    ${current && html`<${Screen} key=${current} vm=${vm.id} session=${current} />`}`;
}

function Screen({ vm, session }) {
  const element = useRef();
  const terminal = useRef();
  const [sentence, tell] = useState("Connecting…");
  const [uncopied, tellCopy] = useState(null);
  useEffect(() => {
    terminal.current = openTerminal(element.current, { vm, session, tell, tellCopy });
    return () => terminal.current.close();
  }, []);
  return html`<div class="actions">
      <button type="button" onClick=${() => terminal.current.copy()}>Copy the selection</button>
      <span class="note">Shift+Escape leaves the terminal.</span>
      <span class="note" role="status">${sentence}</span>
      <${Failure} error=${uncopied} />
    </div>
    <div class="terminal" ref=${element}></div>`;
}
