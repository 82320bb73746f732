// What the daemon does now.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, Table, useInterval, useLoaded } from "../parts.js";
import { formatSince, printable } from "../text.js";

const POLL_S = 1;

export function Operations() {
  const operations = useLoaded(() => call("operations.list"), []);
  useInterval(operations.reload, POLL_S, [operations.reload]);
  const cancel = (id) => async () => {
    await call("operations.cancel", { id });
    await operations.reload();
  };
  const columns = [
    ["Operation", ({ method }) => method],
    ["VM", ({ vm }) => printable(vm ?? "–")],
    ["Stage", ({ stage }) => printable(stage ?? "–")],
    ["Since", ({ started_at }) => formatSince(started_at), "number"],
    ["Actions", ({ id, cancellable }) => cancellable && html`<${Action} run=${cancel(id)}>Cancel<//>`],
  ];
  return html`<h1>Operations</h1>
    <${Table} label="Operations" columns=${columns} loaded=${operations} id=${({ id }) => id} empty="Nothing is in progress." />`;
}
