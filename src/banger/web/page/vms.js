// The VMs, for every view: the list is loaded anew when an event tells of a change, after each
// action of the page, and now and then, since not every change is an event.

import { useEffect, useState } from "./preact.js";
import { call, watch } from "./api.js";

const RETRY_MS = 2000;
const POLL_MS = 10000;
const store = { vms: null, error: null };
const listeners = new Set();
let isLoading = false;
let isStale = false;

function set(change) {
  Object.assign(store, change);
  for (const listener of listeners) listener({ ...store });
}

/** Load the list; changes that come meanwhile are loaded once, afterwards. */
export async function loadVms() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  while (isStale) {
    isStale = false;
    try {
      set({ vms: await call("vm.list"), error: null });
    } catch (error) {
      set({ error });
    }
  }
  isLoading = false;
}

/** Keep the list loaded, also from later daemons and fronts. */
export function watchVms() {
  setInterval(() => document.hidden || loadVms(), POLL_MS);
  listen();
}

async function listen() {
  try {
    for await (const _ of watch()) loadVms();
  } catch {
    // The list tells of it.
  }
  loadVms();
  setTimeout(listen, RETRY_MS);
}

/** Return `{vms, error}`; `vms` is null until they are known. */
export function useVms() {
  const [state, setState] = useState({ ...store });
  useEffect(() => {
    listeners.add(setState);
    setState({ ...store });
    return () => listeners.delete(setState);
  }, []);
  return state;
}
