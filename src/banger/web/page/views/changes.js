// What the guest changed in its workspace, file by file, and a branch of it.

import { html, useState } from "../preact.js";
import { call, read } from "../api.js";
import { Failure, Form, useLoaded } from "../parts.js";
import { printable } from "../text.js";

const MOST_CHARACTERS = 2 ** 20;

/** Return the diff's files as `{title, lines}`, and whether there is more. */
async function loadDiff(ref) {
  let text = "";
  for await (const piece of read("workspace.diff", { ref })) {
    text += piece;
    if (text.length > MOST_CHARACTERS) break; // which ends the request
  }
  const files = text.slice(0, MOST_CHARACTERS).split(/^(?=diff --git )/m).filter(Boolean);
  return { files: files.map(parseFile), isCut: text.length > MOST_CHARACTERS };
}

/** Return a file's name and its lines as `[class, text]`. */
function parseFile(text) {
  const [title, ...lines] = printable(text.replace(/\n$/, "")).split("\n");
  const head = lines.findIndex((line) => line.startsWith("@@"));
  const kinds = lines.map((line, index) => (index <= head ? "@" : line[0]));
  return {
    title: title.replace(/^diff --git a\/.* b\//, ""),
    lines: lines.map((line, index) => [KINDS[kinds[index]], line]),
  };
}

const KINDS = { "+": "added", "-": "removed", "@": "hunk" };

export function ChangesTab({ vm }) {
  const load = () => (vm.workspace ? loadDiff(vm.id) : null);
  const { value: diff, error, reload } = useLoaded(load, [vm.id, Boolean(vm.workspace)]);
  if (!vm.workspace) return html`<p class="note">No repository was copied into this VM.</p>`;
  return html`<p>${printable(vm.workspace.guest_path)} in the VM, ${printable(vm.workspace.host_path)} here.</p>
    <div class="actions"><button type="button" onClick=${reload}>Reload</button></div>
    <${Failure} error=${error} />
    ${!diff && !error && html`<p class="note">Loading…</p>`}
    ${diff?.files.length === 0 && html`<p class="note">Nothing changed.</p>`}
    ${diff?.files.map(
      ({ title, lines }) => html`<details open key=${title}>
        <summary>${title}</summary>
        <pre tabindex="0">${lines.map(([kind, line]) => html`<span class=${kind}>${line}${"\n"}</span>`)}</pre>
      </details>`,
    )}
    ${diff?.isCut && html`<p class="failure">There is more: <code>banger workspace diff ${vm.name}</code></p>`}
    ${diff?.files.length > 0 && !vm.workspace.is_read_only && html`<${Branch} vm=${vm} />`}`;
}

function Branch({ vm }) {
  const [told, tell] = useState("");
  const submit = async ({ branch, all }) => {
    tell("");
    const params = { ref: vm.id, branch, include_uncommitted: Boolean(all) };
    tell(tellBranch(await call("workspace.export_branch", params)));
  };
  return html`<h2>Apply as a branch</h2>
    <${Form} submit=${submit} label="Create the branch">
      <label>Branch <input name="branch" required defaultValue=${`banger/${vm.name}`} /></label>
      <label><input type="checkbox" name="all" defaultChecked /> with what is not committed</label>
      <span role="status">${told}</span>
    <//>`;
}

function tellBranch({ branch, commits, files, notices }) {
  const what = branch ? `${branch}: ${commits} commits, ${files} files.` : "Nothing changed.";
  return [what, ...notices].map(printable).join(" ");
}
