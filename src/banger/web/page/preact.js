// Preact with its hooks, and templates of HTML instead of a language that needs a build.

import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { render } from "./vendor/preact.js";
export * from "./vendor/hooks.js";
export const html = htm.bind(h);
