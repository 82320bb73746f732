// How far an operation has come.

import { html } from "../preact.js";
import { formatBytes, printable } from "../text.js";

const Bar = ({ name, done, total }) =>
  html`<label>${printable(name)} <progress value=${total ? done : null} max=${total || null}></progress></label>`;

export function Stage({ stage: progress }) {
  if (!progress) return null;
  const { stage, done, total, parts } = progress;
  return html`<div class="stage" role="status">
    <${Bar} name=${stage} done=${done} total=${total} />
    ${parts?.map((part) => html`<${Bar} key=${part.name} ...${part} name=${`${part.name}, ${formatBytes(part.total)}`} />`)}
  </div>`;
}
