// All versions by one judge: the forest plot of their gaps, and the matrix of every pair.
/* global Plot */
import { percent } from "../plots.js";

const fixed = (value) => value.toFixed(2).replace("-", "−");
const ranks = (row) => (row.rank_low === row.rank_high ? `rank ${row.rank_low}` : `rank ${row.rank_low} to ${row.rank_high}`);

export function forest({ rows, versions }, { width, label }) {
  const title = (row) => `${row.version}: ${fixed(row.strength)} over the first, 95 % interval ${fixed(row.low)} to ${fixed(row.high)}, ${ranks(row)}`;
  return Plot.plot({
    ariaLabel: label, width, height: 56 + rows.length * 26, marginLeft: 72, marginRight: 88, marginTop: 8, marginBottom: 40,
    x: { label: "gap to the first version, log-odds", labelAnchor: "center", labelArrow: "none", grid: true, nice: true, ticks: 6 },
    y: { type: "point", domain: versions, label: null, tickSize: 0, padding: 0.6 },
    marks: [
      Plot.ruleX([0], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }),
      Plot.ruleY(rows, { y: "version", x1: "low", x2: "high", stroke: "var(--series-1)", strokeWidth: 1 }),
      Plot.ruleY(rows, { y: "version", x1: "comparison_low", x2: "comparison_high", stroke: "var(--series-1)", strokeWidth: 5, strokeOpacity: 0.45 }),
      Plot.dot(rows, { y: "version", x: "strength", fill: "var(--series-1)", stroke: "var(--surface)", r: 5, href: "href", ariaLabel: title, title }),
      Plot.text(rows, { y: "version", frameAnchor: "right", dx: 84, textAnchor: "end", text: ranks, fill: "var(--ink-muted)" }),
    ],
  });
}

const CELL = 56;
const shade = (rate) => Math.min(7, 1 + Math.floor(rate * 7));

export function matrix({ rows, versions }, { width, label }) {
  const wide = Math.min(Math.max(width, 64 + CELL * versions.length), 64 + 120 * versions.length);
  const title = (row) => `${row.version} over ${row.opponent}: ${percent(row.win_rate)}, 95 % interval ${percent(row.low)} to ${percent(row.high)}, ${row.num_prompts} prompts`;
  const at = { x: "opponent", y: "version" };
  const ink = (row) => `var(--on-diverge-${shade(row.win_rate)})`;
  return Plot.plot({
    ariaLabel: label, width: wide, height: 40 + versions.length * 44, marginLeft: 64, marginTop: 32, marginBottom: 8, marginRight: 8,
    x: { type: "band", domain: versions, axis: "top", label: null, tickSize: 0, padding: 0.04 },
    y: { type: "band", domain: versions, label: null, tickSize: 0, padding: 0.04 },
    marks: [
      Plot.cell(rows, { ...at, fill: (row) => `var(--diverge-${shade(row.win_rate)})`, href: "href", ariaLabel: title, title }),
      Plot.text(rows, { ...at, dy: -6, text: (row) => percent(row.win_rate), fill: ink, fontWeight: 600, fontSize: 12, pointerEvents: "none" }),
      Plot.text(rows, { ...at, dy: 9, text: (row) => `${row.num_prompts}`, fill: ink, fontSize: 10, pointerEvents: "none" }),
    ],
  });
}
