// What a VM used in the last 24 hours, and its limits.

import { html } from "../preact.js";
import { call } from "../api.js";
import { Failure, useInterval, useLoaded } from "../parts.js";
import { formatAge, formatBytes, formatMib, formatPercent } from "../text.js";

const POLL_S = 5;
const WIDTH = 600;
const HEIGHT = 120;

const SERIES = [
  ["CPU", (sample) => sample.cpu_percent, formatPercent],
  ["Memory", (sample) => sample.resident_bytes, formatBytes],
  ["Disk", (sample) => sample.disk_allocated_bytes, formatBytes],
];

export function UsageTab({ vm }) {
  const { value: samples, error, reload } = useLoaded(() => call("vm.history", { ref: vm.id }), [vm.id]);
  useInterval(reload, POLL_S, [reload]);
  const limits = [
    ["CPUs", vm.vcpu],
    ["Memory", formatMib(vm.memory_mib)],
    ["Disk", formatMib(vm.disk_mib)],
    ["Time to live", vm.ttl_s == null ? "none" : formatAge(vm.ttl_s)],
    ["Stopped when idle for", vm.auto_stop_s == null ? "never" : formatAge(vm.auto_stop_s)],
    ["Restart", vm.restart],
  ];
  return html`<${Failure} error=${error} />
    ${samples?.length === 0 && html`<p class="note">There is no sample yet.</p>`}
    ${samples?.length > 0 && SERIES.map(([title, value, format]) =>
      html`<${Chart} key=${title} title=${title} samples=${samples} value=${value} format=${format} />`)}
    <h2>Limits</h2>
    <dl>${limits.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function Chart({ title, samples, value, format }) {
  const values = samples.map(value);
  const most = Math.max(...values, 1e-9);
  const begin = samples[0].ended_at;
  const span = samples.at(-1).ended_at - begin || 1;
  const points = samples.map((sample, index) => {
    const x = ((sample.ended_at - begin) / span) * WIDTH;
    return `${x.toFixed(1)},${(HEIGHT * (1 - values[index] / most)).toFixed(1)}`;
  });
  const sentence = `${title}: ${format(values.at(-1))} now, at most ${format(most)} in ${formatAge(span)}`;
  return html`<figure>
    <figcaption>${sentence}</figcaption>
    <svg viewBox=${`0 -2 ${WIDTH} ${HEIGHT + 4}`} role="img" aria-label=${sentence} preserveAspectRatio="none">
      <polyline points=${points.join(" ")} />
    </svg>
  </figure>`;
}
