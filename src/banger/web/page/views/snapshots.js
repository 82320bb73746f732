// A VM's snapshots, the VMs that were made from them, and so on, as a tree.

import { html, useState } from "../preact.js";
import { call, follow } from "../api.js";
import { Action, Failure, Form, useLoaded } from "../parts.js";
import { formatBytes, formatTime, printable } from "../text.js";
import { Stage } from "./stage.js";

/** Return the snapshots of a VM, each with its `clones`: `{vm, snapshots}`, to any depth. */
async function loadTree(vm, vms) {
  const snapshots = await call("snapshot.list", { ref: vm.id, forks: true });
  const load = async (clone) => ({ vm: clone, snapshots: await loadTree(clone, vms) });
  const isClone = (each, { id }) => each.snapshot === id && each.id !== vm.id;
  const grow = async (one) => ({ ...one, clones: await Promise.all(vms.filter((each) => isClone(each, one)).map(load)) });
  return Promise.all(snapshots.map(grow));
}

export function SnapshotsTab({ vm, vms }) {
  const [stage, setStage] = useState(null);
  const users = vms.filter((each) => each.snapshot).map((each) => each.id);
  const load = () => loadTree(vm, vms);
  const { value: snapshots, error, reload } = useLoaded(load, [vm.id, users.join()]);
  const make = async ({ name }, form) => {
    await follow("snapshot.create", { ref: vm.id, ...(name && { name }) }, setStage).finally(() => setStage(null));
    form.reset();
    await reload();
  };
  const fork = ({ number }) =>
    follow("vm.fork", { ref: vm.id, number: Number(number) }, setStage).finally(() => setStage(null));
  return html`<${Failure} error=${error} />
    <ul class="tree">
      <li>
        ${vm.name}
        <${Snapshots} vm=${vm} snapshots=${snapshots} reload=${reload} />
      </li>
    </ul>
    ${snapshots?.length === 0 && html`<p class="note">There is no snapshot.</p>`}
    <${Stage} stage=${stage} />
    <${Form} submit=${make} label="Take a snapshot">
      <label>Name <input name="name" placeholder="chosen for you" /></label>
    <//>
    <${Form} submit=${fork} label="Fork">
      <label>Clones <input name="number" type="number" min="1" max="64" defaultValue="1" required /></label>
    <//>`;
}

function Snapshots({ vm, snapshots, reload }) {
  return html`<ul>
    ${snapshots?.map((each) => html`<li key=${each.id}><${Snapshot} vm=${vm} snapshot=${each} reload=${reload} /></li>`)}
  </ul>`;
}

function Snapshot({ vm, snapshot, reload }) {
  return html`${snapshot.name ? html`<${Named} vm=${vm} snapshot=${snapshot} reload=${reload} />` : "Forked"}
    <span class="note"> ${formatTime(snapshot.created_at)}</span>
    <ul>
      ${snapshot.clones.map(
        ({ vm: clone, snapshots }) => html`<li key=${clone.id}>
          <a href=${`#/vm/${clone.id}/snapshots`}>${clone.name}</a>
          <${Snapshots} vm=${clone} snapshots=${snapshots} reload=${reload} />
        </li>`,
      )}
    </ul>`;
}

function Named({ vm, snapshot, reload }) {
  const params = { ref: vm.id, name: snapshot.id };
  const remove = async () => {
    await call("snapshot.delete", params);
    await reload();
  };
  const question = `Restore ${snapshot.name}? Later changes of ${vm.name} are lost.`;
  return html`${printable(snapshot.name)}, ${formatBytes(snapshot.size_bytes)}
    <span class="actions">
      <${Action} run=${() => call("snapshot.restore", params)} ask=${question}>Restore<//>
      <${Action} run=${remove} ask=${`Delete the snapshot ${snapshot.name}?`} class="danger">Delete<//>
    </span>`;
}
