// Win rates over the versions: a panel per kind of judge, against the version before and against the first.
/* global Plot */
import { percent } from "../plots.js";

const STYLES = [
  { stroke: "var(--series-1)", dash: null, symbol: "circle", sign: "●" },
  { stroke: "var(--series-2)", dash: "6 3", symbol: "triangle", sign: "▲" },
];

const title = (row) => `${row.version} over ${row.baseline} by ${row.judge}: ${percent(row.win_rate)}, 95 % interval ${percent(row.low)} to ${percent(row.high)}, ${row.num_prompts} prompts${row.verdict ? `, ${row.verdict}` : ""}${row.trained_on_judge ? ", trained on this judge" : ""}`;

export function timeline({ rows, versions, panels, against, live = [] }, { width, label }) {
  // The first version is compared with nothing: it needs no place.
  const judged = versions.filter((name) => rows.some((row) => row.version === name));
  const domain = [...judged, ...new Set(live.map((row) => row.version).filter((name) => !judged.includes(name)))];
  const kinds = panels.map((panel) => panel.kind);
  // As many panels side by side as there is room for, and rows as full as each other.
  const numRows = Math.ceil(kinds.length / Math.max(1, Math.floor(width / 300)));
  const numColumns = Math.ceil(kinds.length / numRows);
  const facet = {
    fx: (row) => kinds.indexOf(row.kind) % numColumns,
    fy: (row) => Math.floor(kinds.indexOf(row.kind) / numColumns),
  };
  const across = width / numColumns;
  const every = Math.ceil(domain.length / Math.max(2, (across - 60) / 34));
  const marks = [Plot.ruleY([0.5], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }), Plot.frame({ stroke: "var(--line)" })];
  const lines = [];
  const dots = [];
  against.forEach((name, place) => {
    const { stroke, dash, symbol, sign } = STYLES[place];
    const dx = (place - 0.5) * Math.min(12, across / domain.length / 2.5);
    const line = rows.filter((row) => row.against === name);
    const at = { x: "version", dx, ...facet };
    const settled = line.filter((row) => !row.trained_on_judge);
    const own = line.filter((row) => row.trained_on_judge);
    lines.push(
      Plot.ruleX(live.filter((row) => row.against === name && kinds.includes(row.kind)), { ...at, y1: "low", y2: "high", stroke, strokeOpacity: 0.25, strokeWidth: 10, title: (row) => `being judged: ${percent(row.win_rate)}` }),
      Plot.line(line, { ...at, y: "win_rate", stroke, strokeDasharray: dash, strokeWidth: 1.25, strokeOpacity: 0.6 }),
      Plot.ruleX(line, { ...at, y1: "low", y2: "high", stroke, strokeWidth: 1.5 }),
    );
    dots.push(
      Plot.dot(settled, { ...at, y: "win_rate", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "href", ariaLabel: title, title }),
      // Hollow where the judge was the training reward: it is no witness.
      Plot.dot(own, { ...at, y: "win_rate", fill: "var(--surface)", stroke, strokeWidth: 1.5, symbol, r: 5, href: "href", ariaLabel: title, title }),
      Plot.text(panels, { ...facet, frameAnchor: "bottom-left", dx: 8, dy: -22 + place * 15, text: () => `${sign} against ${name}`, fill: stroke, fontSize: 11 }),
    );
  });
  marks.push(...lines, ...dots, Plot.text(panels, { ...facet, frameAnchor: "top-left", dy: -6, lineAnchor: "bottom", text: "label", fontWeight: 600, fontSize: 12, fill: "var(--ink)" }));
  return Plot.plot({
    ariaLabel: label, width, height: numRows === 1 ? 300 : 40 + 240 * numRows, marginLeft: 48, marginRight: 12, marginTop: 24, marginBottom: 28,
    fx: { axis: null, padding: 0.04 },
    fy: { axis: null, padding: 0.16 },
    x: { type: "point", domain, label: null, padding: 0.5, ticks: domain.filter((_, place) => place % every === 0), tickSize: 3 },
    y: { domain: [0, 1], label: null, tickFormat: percent, grid: true, ticks: 5 },
    marks,
  });
}
