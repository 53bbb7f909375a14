// Judges against people: reliability of probabilities, and the confusion of outcomes; a panel per judge.
/* global Plot */
import { percent } from "../plots.js";

const known = (row) => row.low !== null && row.high !== null;

function panels(judges, width) {
  const columns = Math.max(1, Math.min(judges.length, Math.floor(width / 280)));
  const rows = Math.ceil(judges.length / columns);
  const place = new Map(judges.map((judge, index) => [judge, { fx: index % columns, fy: Math.floor(index / columns) }]));
  return {
    columns, rows,
    wide: Math.min(width, 64 + columns * 340),
    at: { fx: (row) => place.get(row.judge ?? row).fx, fy: (row) => place.get(row.judge ?? row).fy },
    scales: { fx: { domain: [...Array(columns).keys()], axis: null, padding: 0.15 }, fy: { domain: [...Array(rows).keys()], axis: null, padding: 0.2 } },
  };
}

export function reliability({ rows, judges }, { width, label }) {
  const { rows: down, wide, at, scales } = panels(judges, width);
  const title = (row) => `${row.judge} says ${percent(row.mean)}, people agree in ${percent(row.rate)}${known(row) ? `, 95 % interval ${percent(row.low)} to ${percent(row.high)}` : ""}, ${row.num} pairs`;
  const lowest = Math.min(0.5, ...rows.map((row) => (known(row) ? row.low : row.rate)));
  return Plot.plot({
    ariaLabel: label, width: wide, height: 56 + 250 * down, marginLeft: 52, marginBottom: 40, marginTop: 24, ...scales,
    x: { domain: [0.5, 1], label: "what the judge says", labelAnchor: "center", labelArrow: "none", tickFormat: percent, ticks: 4 },
    y: { domain: [lowest, 1], label: "how often people agree", labelAnchor: "center", labelArrow: "none", tickFormat: percent, ticks: 4, grid: true },
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      Plot.line([[0.5, 0.5], [1, 1]], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }),
      Plot.ruleX(rows.filter(known), { ...at, x: "mean", y1: "low", y2: "high", stroke: "var(--series-1)", strokeWidth: 1.5 }),
      Plot.dot(rows, { ...at, x: "mean", y: "rate", fill: "var(--series-1)", stroke: "var(--surface)", r: 5, href: "href", ariaLabel: title, title }),
      Plot.text(judges, { ...at, frameAnchor: "top", dy: -14, text: (judge) => judge, fontWeight: 600, fill: "var(--ink)" }),
    ],
  });
}

export function confusion({ rows, judges, outcomes }, { width, label }) {
  const { rows: down, wide, at, scales } = panels(judges, width);
  const totals = new Map(judges.map((judge) => [judge, rows.reduce((sum, row) => sum + (row.judge === judge ? row.num : 0), 0)]));
  const share = (row) => row.num / Math.max(1, totals.get(row.judge));
  const title = (row) => `people say ${row.people}, ${row.judge} says ${row.says}: ${row.num} prompts`;
  const place = { x: "says", y: "people", ...at };
  return Plot.plot({
    ariaLabel: label, width: wide, height: 60 + 200 * down, marginLeft: 52, marginBottom: 40, marginTop: 28, ...scales,
    x: { type: "band", domain: outcomes, label: "what the judge says", labelAnchor: "center", labelArrow: "none", tickSize: 0, padding: 0.06 },
    y: { type: "band", domain: outcomes, label: "what people say", labelAnchor: "center", labelArrow: "none", tickSize: 0, padding: 0.06 },
    marks: [
      Plot.cell(rows, { ...place, fill: (row) => (row.people === row.says ? "var(--series-1)" : "var(--series-2)"), fillOpacity: (row) => 0.06 + 0.3 * share(row), href: "href", ariaLabel: title, title }),
      Plot.text(rows, { ...place, text: (row) => `${row.num}`, fill: "var(--ink)", fontWeight: 600, pointerEvents: "none" }),
      Plot.text(judges, { ...at, frameAnchor: "top", dy: -14, text: (judge) => judge, fontWeight: 600, fill: "var(--ink)" }),
    ],
  });
}
