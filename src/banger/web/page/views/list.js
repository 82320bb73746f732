// All VMs: what they are, take and offer.

import { html, useEffect, useState } from "../preact.js";
import { call } from "../api.js";
import { State, Table, useInterval } from "../parts.js";
import { formatBytes, formatMib, formatPercent, formatSince, printable, webLink } from "../text.js";

const POLL_S = 3;

/** Return what each VM uses, and its ports, by ID; anew every few seconds. */
function useFacts(vms) {
  const [facts, setFacts] = useState({});
  const running = (vms ?? []).filter((vm) => vm.state === "running").map((vm) => vm.id);
  const load = async () => {
    const [{ vms: uses }, ports] = await Promise.all([
      call("vm.stats"),
      Promise.all(running.map((ref) => call("vm.ports", { ref }).catch(() => []))),
    ]);
    const found = Object.fromEntries(uses.map((use) => [use.id, { use }]));
    running.forEach((id, index) => (found[id] = { ...found[id], ports: ports[index] }));
    setFacts(found);
  };
  const reload = () => load().catch(() => {}); // the list tells of failures
  useEffect(() => void reload(), [running.join()]);
  useInterval(reload, POLL_S, [running.join()]);
  return facts;
}

export function Port({ port }) {
  const name = port.port ?? printable(port.path ?? "");
  const link = webLink(port.link);
  if (!link) return html`<span title=${port.notice}>${name}</span>`;
  return html`<a href=${link} target="_blank" rel="noopener noreferrer">${name}</a>`;
}

const Memory = ({ vm, use }) =>
  html`${formatBytes(use?.private_bytes)}<span class="wide"> of ${formatMib(vm.memory_mib)}</span>`;

export function VmList({ vms }) {
  const facts = useFacts(vms);
  const columns = [
    ["Name", (vm) => html`<a href=${`#/vm/${vm.id}`}>${vm.name}</a>`],
    ["State", (vm) => html`<${State} vm=${vm} />`],
    ["Memory", (vm) => html`<${Memory} vm=${vm} use=${facts[vm.id]?.use} />`, "number"],
    ["CPU", (vm) => formatPercent(facts[vm.id]?.use?.cpu_percent), "number"],
    ["Ports", (vm) => (facts[vm.id]?.ports ?? []).map((port) => html`<${Port} port=${port} /> `)],
    ["Image", (vm) => printable(vm.image), "wide"],
    ["Workspace", (vm) => printable(vm.workspace?.host_path ?? "–"), "wide"],
    ["Age", (vm) => formatSince(vm.created_at), "number wide"],
  ];
  return html`<h1>VMs</h1>
    <${Table} label="VMs" columns=${columns} loaded=${{ value: vms }} id=${(vm) => vm.id} empty="There is no VM." />`;
}
