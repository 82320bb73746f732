// What may leave a VM, and what was denied.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, Form, Table, useInterval, useLoaded } from "../parts.js";
import { formatTime, printable } from "../text.js";

const POLL_S = 3;

export function NetworkTab({ vm }) {
  const isRunning = vm.state === "running";
  const load = () => (isRunning ? call("egress.log", { ref: vm.id }) : []);
  const denied = useLoaded(load, [vm.id, vm.state]);
  useInterval(denied.reload, POLL_S, [denied.reload]);
  const loadSecrets = async () =>
    vm.secrets.length ? (await call("secret.list")).filter(({ name }) => vm.secrets.includes(name)) : [];
  const secrets = useLoaded(loadSecrets, [vm.id, vm.secrets.join()]);
  const change = (rule) => call("egress.change", { ref: vm.id, rules: [rule] });
  const { profile, rules } = vm.egress;
  const columns = [
    ["Target", ({ target }) => printable(target)],
    ["Times", ({ times }) => times, "number"],
    ["Last", ({ last_at }) => formatTime(last_at), "wide"],
    ["Why", ({ why }) => printable(why || "–")],
    ["Actions", ({ rule }) => rule && html`<${Action} run=${() => change(rule)}>Allow<//>`],
  ];
  const ofSecrets = [
    ["Secret", ({ name }) => name],
    ["Hosts", ({ hosts }) => hosts.join(", ")],
    ["Headers", ({ headers }) => headers.join(", ")],
  ];
  return html`<p>Network: ${vm.network}. Egress profile: ${profile}.</p>
    <h2>Rules, of which the first that matches decides</h2>
    ${rules.length ? html`<ol>${rules.map((rule) => html`<li>${printable(rule)}</li>`)}</ol>` : html`<p class="note">None of its own.</p>`}
    <${Form} submit=${({ verdict, target }) => change(`${verdict} ${target}`)} label="Add the rule">
      <label>
        Rule
        <select name="verdict">
          <option>allow</option>
          <option>deny</option>
        </select>
      </label>
      <label>Target <input name="target" required placeholder="203.0.113.0/24:443/tcp" /></label>
    <//>
    <h2>Secrets of its HTTPS requests</h2>
    <${Table} label="Secrets" columns=${ofSecrets} loaded=${secrets} id=${({ name }) => name} empty="It has none." />
    <h2>Denied since the VM's start</h2>
    <${Table} label="Denied" columns=${columns} loaded=${denied} id=${({ target, why }) => target + why} empty="Nothing was denied." />`;
}
