// A new VM from an image, and maybe with a repository of this host.

import { html, useState } from "../preact.js";
import { call, follow } from "../api.js";
import { Form, useLoaded } from "../parts.js";
import { Stage } from "./stage.js";

/** Return the names of images: those that are here, and those that are built on first use. */
async function loadNames() {
  const [images, catalog] = await Promise.all([call("image.list"), call("image.catalog").catch(() => [])]);
  return [...new Set([...catalog, ...images].flatMap(({ name, names }) => names ?? [name]))].sort();
}

const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));

function plan({ memory_mib, vcpu, ...words }) {
  const numbers = { memory_mib: Number(memory_mib), vcpu: Number(vcpu) };
  return given({ ...words, ...numbers });
}

export function Create() {
  const [stage, setStage] = useState(null);
  const { value: names } = useLoaded(loadNames, []);
  const submit = async ({ repository, untracked, ...fields }) => {
    try {
      const vm = await follow("vm.create", plan(fields), setStage);
      if (repository) await copy(vm, repository, untracked);
      location.hash = `#/vm/${vm.id}`;
    } finally {
      setStage(null);
    }
  };
  const copy = (vm, path, untracked) =>
    follow("workspace.prepare", { ref: vm.id, path, include_untracked: Boolean(untracked) }, setStage);
  return html`<h1>Create a VM</h1>
    <${Form} submit=${submit} label="Create" class="column">
      <label>Image <input name="image" list="images" placeholder="the default" /></label>
      <datalist id="images">${names?.map((name) => html`<option value=${name} />`)}</datalist>
      <label>Name <input name="name" placeholder="chosen for you" /></label>
      <label>Repository, an absolute path of this host <input name="repository" placeholder="none" pattern="/.*" /></label>
      <label><input type="checkbox" name="untracked" /> with untracked files</label>
      <label>Memory in MiB <input name="memory_mib" type="number" min="1" placeholder="the default" /></label>
      <label>CPUs <input name="vcpu" type="number" min="1" placeholder="the default" /></label>
    <//>
    <${Stage} stage=${stage} />`;
}
