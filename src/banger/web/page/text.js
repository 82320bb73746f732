// How values are written for people.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatBytes(bytes) {
  if (bytes == null) return "–";
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** unit;
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export const formatMib = (mib) => formatBytes(mib * 1024 ** 2);

export const formatPercent = (percent) => (percent == null ? "–" : `${percent.toFixed(1)} %`);

export function formatAge(seconds) {
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([n]) => seconds >= n) ?? [1, "s"];
  return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
}

/** Return the age of what is of this time (seconds of the Unix epoch). */
export const formatSince = (epoch) => formatAge(Date.now() / 1000 - epoch);

export const formatTime = (epoch) => new Date(epoch * 1000).toLocaleString();

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;
const INVISIBLE = /(?![\t\n])[\p{C}\p{Zl}\p{Zp}]/gu;

/** Return a guest's text without terminal escapes; other invisible characters become visible. */
export function printable(untrusted) {
  return untrusted
    .replace(/\r/g, "")
    .replace(ESCAPES, "")
    .replace(INVISIBLE, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** Return an address that a browser may open: of HTTP only. */
export function webLink(untrusted) {
  const url = URL.canParse(untrusted ?? "") ? new URL(untrusted) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : null;
}
