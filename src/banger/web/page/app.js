// The page: who may see it, what is at which address, and what is around every view.

import { html, render, useEffect, useState } from "./preact.js";
import { closeSession, openSession } from "./api.js";
import { Action, Failure } from "./parts.js";
import { useVms, watchVms } from "./vms.js";
import { Create } from "./views/create.js";
import { Doctor } from "./views/doctor.js";
import { Images } from "./views/images.js";
import { VmList } from "./views/list.js";
import { Operations } from "./views/operations.js";
import { Vm } from "./views/vm.js";

const PLACES = [
  ["", "VMs", VmList],
  ["create", "Create", Create],
  ["images", "Images", Images],
  ["operations", "Operations", Operations],
  ["doctor", "Doctor", Doctor],
];

function useHash() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const change = () => setHash(location.hash);
    addEventListener("hashchange", change);
    change(); // It may have changed since it was drawn.
    return () => removeEventListener("hashchange", change);
  }, []);
  return hash;
}

function App() {
  const [place = "", ...rest] = useHash().replace(/^#\/?/, "").split("/");
  const { vms, error } = useVms();
  const View = PLACES.find(([name]) => name === place)?.[2];
  return html`<header>
      <nav aria-label="Places">
        ${PLACES.map(
          ([name, title]) =>
            html`<a href=${`#/${name}`} aria-current=${name === place ? "page" : null}>${title}</a>`,
        )}
        <${Action} run=${closeSession}>Log out<//>
      </nav>
    </header>
    <main>
      <${Failure} error=${error} />
      ${place === "vm" ? html`<${Vm} vms=${vms} id=${rest[0]} tab=${rest[1]} />` : View && html`<${View} vms=${vms} />`}
      ${place !== "vm" && !View && html`<p>There is no such page.</p>`}
    </main>`;
}

async function start() {
  // A link that is opened where the page is already changes the fragment alone.
  addEventListener("hashchange", () => location.hash.startsWith("#t=") && location.reload());
  const token = location.hash.match(/^#t=(.*)/)?.[1];
  if (token) {
    // The token is used up: it shall not stay in the history.
    history.replaceState(null, "", "/#/");
    await openSession(token);
  }
  watchVms();
  render(html`<${App} />`, document.body);
}

start().catch((error) => render(html`<main><${Failure} error=${error} /></main>`, document.body));
