// What the daemon does now.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Action, Table, useInterval, useLoaded } from "../parts.js";
import { formatSince, printable } from "../text.js";

const POLL_S = 1;
// What each open page has the daemon wait for.
const OWN = ["vm.watch", "token.wait"];

async function loadOperations() {
  return (await call("operations.list")).filter(({ method }) => !OWN.includes(method));
}

export function Operations() {
  const operations = useLoaded(loadOperations, []);
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
