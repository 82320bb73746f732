// Images, kernels and templates.

import { html, useState } from "../preact.js";
import { call, follow } from "../api.js";
import { Action, Form, Table, useLoaded } from "../parts.js";
import { formatBytes, formatMib, formatSince, printable } from "../text.js";
import { Stage } from "./stage.js";

export function Images() {
  const images = useLoaded(() => call("image.list"), []);
  const kernels = useLoaded(() => call("kernel.list"), []);
  const templates = useLoaded(() => call("template.list"), []);
  const reload = () => Promise.all([images, kernels, templates].map((each) => each.reload()));
  const remove = (method, ref) => async () => {
    await call(method, { ref });
    await reload();
  };
  const removal = (method, ref, users) =>
    users.length === 0 && html`<${Action} run=${remove(method, ref)} ask="Delete it?" class="danger">Delete<//>`;
  const usedBy = ["Used by", ({ users }) => users.map(printable).join(", ") || "–", "wide"];
  const size = ["Size", ({ size_bytes }) => formatBytes(size_bytes), "number"];
  const imageColumns = [
    ["Image", ({ name, names }) => printable(names.join(", ") || name)],
    ["Source", ({ source }) => printable(source), "wide"],
    size,
    usedBy,
    ["Age", ({ created_at }) => formatSince(created_at), "number wide"],
    ["Actions", ({ digest, users }) => removal("image.delete", digest, users)],
  ];
  const kernelColumns = [
    ["Kernel", ({ name, current }) => printable(name) + (current ? "" : " (replaced)")],
    ["Version", ({ version }) => printable(version), "wide"],
    size,
    usedBy,
    ["Actions", ({ digest, users }) => removal("kernel.delete", digest, users)],
  ];
  const templateColumns = [
    ["Template of", ({ image }) => printable(image)],
    ["For", ({ vcpu, memory_mib }) => `${vcpu} CPU, ${formatMib(memory_mib)}`],
    size,
    ["Uses", ({ uses }) => uses, "number wide"],
    ["Ready clones", ({ waiting }) => waiting, "number"],
    ["Actions", ({ key, users }) => removal("template.delete", key, users)],
  ];
  const byDigest = ({ digest }) => digest;
  return html`<h1>Images</h1>
    <${Table} label="Images" columns=${imageColumns} loaded=${images} id=${byDigest} empty="There is no image." />
    <${Pull} method="image.pull" field="ref" title="Image of a registry" example="docker.io/library/alpine" reload=${reload} />
    <h2>Kernels</h2>
    <${Table} label="Kernels" columns=${kernelColumns} loaded=${kernels} id=${byDigest} empty="There is no kernel." />
    <${Pull} method="kernel.pull" field="name" title="Kernel" example="debian-cloud" reload=${reload} />
    <h2>Templates</h2>
    <${Table} label="Templates" columns=${templateColumns} loaded=${templates} id=${({ key }) => key} empty="There is no template." />`;
}

function Pull({ method, field, title, example, reload }) {
  const [stage, setStage] = useState(null);
  const submit = async (fields, form) => {
    await follow(method, fields, setStage).finally(() => setStage(null));
    form.reset();
    await reload();
  };
  return html`<${Form} submit=${submit} label="Pull">
      <label>${title} <input name=${field} required placeholder=${example} /></label>
    <//>
    <${Stage} stage=${stage} />`;
}
