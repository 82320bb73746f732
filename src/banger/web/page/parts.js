// What the views are made of.

import { html, useCallback, useEffect, useRef, useState } from "./preact.js";
import { printable } from "./text.js";
import { loadVms } from "./vms.js";

/** Return `{value, error, reload}` of an asynchronous function. */
export function useLoaded(load, dependencies) {
  const [state, setState] = useState({});
  const newest = useRef(0);
  const reload = useCallback(async () => {
    const number = ++newest.current;
    const set = (more) => number === newest.current && setState((old) => ({ ...old, ...more }));
    try {
      set({ value: await load(), error: null });
    } catch (error) {
      set({ error });
    }
  }, dependencies);
  useEffect(() => {
    setState({});
    reload();
    return () => newest.current++;
  }, [reload]);
  return { ...state, reload };
}

/** Call the asynchronous `action` every `seconds`, unless it still runs or the page is hidden. */
export function useInterval(action, seconds, dependencies) {
  useEffect(() => {
    let isBusy = false;
    const act = async () => {
      if (isBusy || document.hidden) return;
      isBusy = true;
      await action();
      isBusy = false;
    };
    const timer = setInterval(act, seconds * 1000);
    return () => clearInterval(timer);
  }, dependencies);
}

export function Failure({ error }) {
  if (!error) return null;
  return html`<div class="failure" role="alert">
    <p>${printable(error.message)}</p>
    ${error.hint && html`<p>Try: <code>${printable(error.hint)}</code></p>`}
  </div>`;
}

/** Return `[run, isBusy, error]`: `run` runs an asynchronous action, which may change VMs. */
function useRun() {
  const [{ isBusy, error }, setState] = useState({});
  const run = async (action) => {
    setState({ isBusy: true });
    try {
      await action();
      setState({});
    } catch (failed) {
      setState({ error: failed });
    }
    loadVms();
  };
  return [run, isBusy, error];
}

/** A button that runs an asynchronous action, after asking if that is to be confirmed. */
export function Action({ run: action, children, ask, ...more }) {
  const [run, isBusy, error] = useRun();
  const click = () => (!ask || confirm(ask)) && run(action);
  return html`<button type="button" disabled=${isBusy} onClick=${click} ...${more}>${children}</button>
    <${Failure} error=${error} />`;
}

/** A form whose fields are passed to `submit` by name. */
export function Form({ submit, label, children, ...more }) {
  const [run, isBusy, error] = useRun();
  const send = (event) => {
    event.preventDefault();
    const form = event.target;
    run(() => submit(Object.fromEntries(new FormData(form)), form));
  };
  return html`<form onSubmit=${send} ...${more}>
    ${children}
    <button disabled=${isBusy}>${label}</button>
    <${Failure} error=${error} />
  </form>`;
}

/** A table of what `loaded` (of `useLoaded`) has: `columns` are `[title, cell(row), class]`. */
export function Table({ label, columns, loaded: { value: rows, error }, id, empty }) {
  if (error) return html`<${Failure} error=${error} />`;
  if (!rows) return html`<p class="note">Loading…</p>`;
  if (!rows.length) return html`<p class="note">${empty}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead>
        <tr>${columns.map(([title, , kind]) => html`<th scope="col" class=${kind}>${title}</th>`)}</tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${id(row)}>
            ${columns.map(([, cell, kind]) => html`<td class=${kind}>${cell(row)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

export const State = ({ vm }) =>
  html`<span class=${`state ${vm.state}`}>${vm.state}</span>${vm.busy && html` <span class="note">${vm.busy}…</span>`}`;
