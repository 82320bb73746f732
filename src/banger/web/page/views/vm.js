// One VM: its state, what can be done with it, and its tabs.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, State } from "../parts.js";
import { formatMib, printable } from "../text.js";
import { ChangesTab } from "./changes.js";
import { LogsTab } from "./logs.js";
import { NetworkTab } from "./network.js";
import { PortsTab } from "./ports.js";
import { SnapshotsTab } from "./snapshots.js";
import { TerminalTab } from "./terminal.js";
import { UsageTab } from "./usage.js";

const TABS = [
  ["terminal", "Terminal", TerminalTab],
  ["changes", "Changes", ChangesTab],
  ["ports", "Ports", PortsTab],
  ["logs", "Logs", LogsTab],
  ["network", "Network", NetworkTab],
  ["snapshots", "Snapshots and forks", SnapshotsTab],
  ["usage", "Usage", UsageTab],
];

const CHANGES = [
  ["Start", "vm.start", ["stopped", "created", "error"]],
  ["Resume", "vm.resume", ["paused"]],
  ["Pause", "vm.pause", ["running"]],
  ["Stop", "vm.stop", ["running", "paused"]],
];

function Changes({ vm }) {
  const possible = CHANGES.filter(([, , states]) => states.includes(vm.state));
  const remove = async () => {
    await call("vm.delete", { ref: vm.id });
    location.hash = "#/";
  };
  return html`<div class="actions">
    ${possible.map(
      ([title, method]) => html`<${Action} key=${method} run=${() => call(method, { ref: vm.id })}>${title}<//>`,
    )}
    <${Action} run=${remove} ask=${`Delete ${vm.name} and its disk?`} class="danger">Delete<//>
  </div>`;
}

export function Vm({ vms, id, tab = TABS[0][0] }) {
  const vm = vms?.find((each) => each.id === id);
  if (!vm) return html`<p class="note">${vms ? "There is no such VM." : "Loading…"}</p>`;
  const Tab = TABS.find(([name]) => name === tab)?.[2];
  return html`<h1>${vm.name} <${State} vm=${vm} /></h1>
    <p class="note">
      ${printable(vm.image)}, ${vm.vcpu} CPU, ${formatMib(vm.memory_mib)}, disk ${formatMib(vm.disk_mib)}, by ${vm.driver}
    </p>
    ${(vm.error ?? vm.notice) && html`<p class="failure">${printable(vm.error ?? vm.notice)}</p>`}
    <${Changes} vm=${vm} />
    <nav class="tabs" aria-label="Tabs">
      ${TABS.map(
        ([name, title]) =>
          html`<a href=${`#/vm/${id}/${name}`} aria-current=${name === tab ? "page" : null}>${title}</a>`,
      )}
    </nav>
    <section>${Tab ? html`<${Tab} key=${vm.id} vm=${vm} vms=${vms} />` : "There is no such tab."}</section>`;
}
