// The ports that a VM listens on, and those that are published.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, Form, Table, useInterval, useLoaded } from "../parts.js";
import { printable } from "../text.js";
import { Port } from "./list.js";

const POLL_S = 3;

/** Return the host's end of a port as the API names it, or null. */
function hostEnd({ host_path, host_address, host_port }) {
  if (host_path || !host_port) return host_path;
  return `${host_address.includes(":") ? `[${host_address}]` : host_address}:${host_port}`;
}

const host = (port) => printable(hostEnd(port) ?? "–");

export function PortsTab({ vm }) {
  const ports = useLoaded(() => call("vm.ports", { ref: vm.id }), [vm.id, vm.state]);
  useInterval(ports.reload, POLL_S, [ports.reload]);
  const publish = async ({ guest, host: onHost }, form) => {
    const port = { guest_port: Number(guest), ...(onHost && { host_port: Number(onHost) }) };
    await call("port.add", { ref: vm.id, port });
    form.reset();
    await ports.reload();
  };
  const close = (port) => async () => {
    const protocol = port.protocol === "udp" ? "udp" : "tcp";
    const name = port.host_path ?? `${hostEnd(port)}/${protocol}`;
    await call("port.remove", { ref: vm.id, port: name });
    await ports.reload();
  };
  const columns = [
    ["Port", (port) => html`<${Port} port=${port} />/${port.protocol}`],
    ["In the VM", (port) => printable(port.address ?? port.path ?? "–"), "wide"],
    ["On this host", host],
    ["State", (port) => html`${port.state}${port.notice && html`<br />${printable(port.notice)}`}`],
    ["Actions", (port) => port.is_published && html`<${Action} run=${close(port)}>Close<//>`],
  ];
  const id = (port) => [port.protocol, port.address, port.port, port.path, host(port), port.is_published].join();
  return html`<${Table} label="Ports" columns=${columns} loaded=${ports} id=${id} empty="No port is open." />
    <h2>Publish a port</h2>
    <${Form} submit=${publish} label="Publish">
      <label>Port in the VM <input name="guest" type="number" min="1" max="65535" required /></label>
      <label>Port on this host <input name="host" type="number" min="1" max="65535" placeholder="the same" /></label>
    <//>`;
}
