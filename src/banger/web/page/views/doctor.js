// Whether this host has what banger needs.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, Table, useLoaded } from "../parts.js";
import { printable } from "../text.js";

const COLUMNS = [
  ["Check", ({ name }) => printable(name)],
  ["State", ({ state }) => html`<span class=${`state ${state}`}>${state}</span>`],
  ["Fact", ({ fact }) => printable(fact)],
  ["Remedy", ({ hint }) => hint && html`<code>${printable(hint)}</code>`],
];

export function Doctor() {
  const { value, error, reload } = useLoaded(() => call("doctor"), []);
  const loaded = { value: value?.checks, error };
  return html`<h1>Doctor</h1>
    ${value && html`<p role="status">This host is ${value.ready ? "" : "not "}ready.</p>`}
    ${value?.install && html`<p>This installs what is missing: <code>${printable(value.install)}</code></p>`}
    <${Table} label="Checks" columns=${COLUMNS} loaded=${loaded} id=${({ name, fact }) => name + fact} empty="There is no check." />
    <${Action} run=${reload}>Check again<//>`;
}
