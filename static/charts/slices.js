// Where a version is better or worse, and what is left of its win rate without length and style.
/* global Plot */
import { percent } from "../plots.js";

const LONGEST = 16; // characters of a category beside its bar; the table has all of it
const brief = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
const OUTCOMES = [
  { key: "wins", label: "won", fill: "var(--diverge-6)" },
  { key: "ties", label: "tied", fill: "var(--diverge-4)" },
  { key: "unsettled", label: "unsettled", fill: "var(--line-strong)" },
  { key: "losses", label: "lost", fill: "var(--diverge-2)" },
];

export function slices({ rows }, { width, label }) {
  const name = (row) => row.category_text ?? row.category;
  const labels = new Map(rows.map((row) => [row.category, brief(name(row))]));
  const bars = rows.flatMap((row) => {
    let start = 0;
    return OUTCOMES.filter(({ key }) => row[key]).map(({ key, label: outcome, fill }) => {
      const from = start;
      start += row[key] / row.num_prompts;
      return { category: row.category, from, to: start, fill, href: `${row.href}&outcome=${outcome}`, title: `${name(row)}: ${row[key]} of ${row.num_prompts} ${outcome}` };
    });
  });
  const title = (row) => `${name(row)}: ${percent(row.win_rate)}, 95 % interval ${percent(row.low)} to ${percent(row.high)}, shrunk to the overall rate ${percent(row.shrunk)}, ${row.num_prompts} prompts`;
  const y = { y: "category" };
  return Plot.plot({
    ariaLabel: label, width, height: 72 + rows.length * 40, marginLeft: 112, marginRight: 16, marginTop: 28, marginBottom: 28,
    x: { domain: [0, 1], label: null, tickFormat: percent, ticks: 4 },
    y: { type: "band", domain: rows.map((row) => row.category), label: null, tickSize: 0, tickFormat: (key) => labels.get(key), padding: 0.1 },
    marks: [
      Plot.barX(bars, { ...y, x1: "from", x2: "to", insetBottom: 18, fill: "fill", href: "href", ariaLabel: "title", title: "title" }),
      Plot.ruleX([0.5], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }),
      Plot.ruleY(rows, { ...y, x1: "low", x2: "high", dy: 12, stroke: "var(--ink)", strokeWidth: 1.5 }),
      Plot.dot(rows, { ...y, x: "win_rate", dy: 12, fill: "var(--ink)", stroke: "var(--surface)", r: 5, href: "href", ariaLabel: title, title }),
      Plot.dot(rows.filter((row) => row.shrunk !== null), { ...y, x: "shrunk", dy: 12, symbol: "times", stroke: "var(--series-4)", strokeWidth: 1.5, r: 4 }),
      Plot.text(legend(), { frameAnchor: "top-left", dy: -20, text: (text) => text, fill: "var(--ink-muted)", textAnchor: "start" }),
    ],
  });
}

const legend = () => ["bar: won, tied, unsettled, lost    ● win rate    × shrunk to the overall rate"];

const CONTROLS = [
  { key: "raw", label: "raw", stroke: "var(--series-5)", symbol: "circle" },
  { key: "length", label: "length-controlled", stroke: "var(--series-1)", symbol: "square" },
  { key: "style", label: "style-controlled", stroke: "var(--series-2)", symbol: "triangle" },
];

export function controls({ rows, versions }, { width, label }) {
  const points = rows.flatMap((row) => CONTROLS.filter(({ key }) => row[key] !== null).map((control, place) => ({
    ...control, version: row.version, href: row.href, rate: row[control.key], low: row[`${control.key}_low`], high: row[`${control.key}_high`], place,
    title: `${row.version} over ${row.baseline}, ${control.label}: ${percent(row[control.key])}, 95 % interval ${percent(row[`${control.key}_low`])} to ${percent(row[`${control.key}_high`])}`,
  })));
  const marks = CONTROLS.flatMap(({ key, stroke, symbol }, place) => {
    const mine = points.filter((point) => point.key === key);
    const at = { y: "version", dy: (place - 1) * 9 };
    return [
      Plot.ruleY(mine, { ...at, x1: "low", x2: "high", stroke, strokeWidth: 1.5 }),
      Plot.dot(mine, { ...at, x: "rate", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "href", ariaLabel: "title", title: "title" }),
    ];
  });
  const signs = ["● raw", "■ length-controlled", "▲ style-controlled"];
  const places = [0, 52, 180];
  return Plot.plot({
    ariaLabel: label, width, height: 64 + rows.length * 36, marginLeft: 72, marginRight: 16, marginTop: 28, marginBottom: 28,
    x: { domain: [0, 1], label: null, tickFormat: percent, ticks: 5, grid: true },
    y: { type: "point", domain: versions, label: null, tickSize: 0, padding: 0.6 },
    marks: [
      Plot.ruleX([0.5], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }),
      ...marks,
      ...CONTROLS.map(({ stroke }, place) => Plot.text([signs[place]], { frameAnchor: "top-left", dx: places[place], dy: -22, text: (text) => text, fill: stroke })),
    ],
  });
}
