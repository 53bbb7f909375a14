// The charts of a report card: where a reward model is right, whether its probabilities are, what more labels would buy.
/* global Plot, gettext, interpolate */
import { percent, place, significant } from "./plots.js";

const data = JSON.parse(document.getElementById("report-card-data").textContent);
const LONGEST = 18; // characters of a label beside the chart; the table has all of it
const brief = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
const upright = (x, dash) => Plot.ruleX([x], { stroke: "var(--line-strong)", strokeDasharray: dash });
const range = (low, high) => interpolate(gettext("95 % interval %(low)s to %(high)s"), { low: percent(low), high: percent(high) }, true);
const pairs = (num) => interpolate(gettext("%(num)s comparisons"), { num }, true);
const known = (row) => row.low !== null && row.high !== null;

function slices(box, width) {
  const rows = data.slices.map((row, place) => ({ ...row, key: String(place) }));
  const labels = new Map(rows.map((row) => [row.key, brief(row.label)]));
  const title = (row) => `${row.group_label}, ${row.label}: ${percent(row.mean)}${known(row) ? `, ${range(row.low, row.high)}` : ""}, ${pairs(row.num_pairs)}`;
  const ceiling = data.ceiling === null ? [] : [
    upright(data.ceiling, "1 3"),
    Plot.text([data.ceiling], { x: (x) => x, frameAnchor: "top", dy: -12, text: [gettext("ceiling")], fill: "var(--ink-muted)" }),
  ];
  return Plot.plot({
    ariaLabel: box.dataset.label, width, height: 48 + rows.length * 24, marginLeft: 128, marginTop: 24, marginRight: 16,
    x: { domain: [Math.min(0.5, ...rows.filter(known).map((row) => row.low)), 1], label: null, tickFormat: percent, ticks: 4, grid: true },
    y: { domain: rows.map((row) => row.key), label: null, tickFormat: (key) => labels.get(key), tickSize: 0 },
    marks: [
      upright(0.5, "3 3"), ...ceiling,
      Plot.ruleY(rows.filter(known), { y: "key", x1: "low", x2: "high", stroke: "var(--series-1)", strokeWidth: 1.5 }),
      Plot.dot(rows, { y: "key", x: "mean", fill: "var(--series-1)", stroke: "var(--surface)", symbol: (row) => row.group, r: 5, title, ariaLabel: title }),
    ],
    symbol: { domain: ["all", "strength", "round", "labeler"], range: ["diamond", "square", "triangle", "circle"] },
  });
}

function reliability(box, width) {
  const title = (bin) => `${interpolate(gettext("Says %(said)s, is right in %(right)s"), { said: percent(bin.confidence), right: percent(bin.accuracy) }, true)}${known(bin) ? `, ${range(bin.low, bin.high)}` : ""}, ${pairs(bin.num_pairs)}`;
  const lowest = Math.min(0.5, ...data.bins.map((bin) => (known(bin) ? bin.low : bin.accuracy)));
  return Plot.plot({
    ariaLabel: box.dataset.label, width: Math.min(width, 480), height: 320, marginLeft: 48, marginBottom: 40, marginTop: 16,
    x: { domain: [0.5, 1], label: gettext("What the model says"), labelArrow: "none", labelAnchor: "center", tickFormat: percent, ticks: 5 },
    y: { domain: [lowest, 1], label: gettext("How often it is right"), labelArrow: "none", tickFormat: percent, ticks: 5, grid: true },
    marks: [
      Plot.line([[0.5, 0.5], [1, 1]], { stroke: "var(--line-strong)", strokeDasharray: "3 3" }),
      Plot.ruleX(data.bins.filter(known), { x: "confidence", y1: "low", y2: "high", stroke: "var(--series-1)", strokeWidth: 1.5 }),
      Plot.dot(data.bins, { x: "confidence", y: "accuracy", fill: "var(--series-1)", stroke: "var(--surface)", r: 5, title, ariaLabel: title }),
    ],
  });
}

function scaling(box, width) {
  const rows = data.scaling;
  const title = (row) => interpolate(gettext("%(size)s rankings: right in %(right)s"), { size: row.size, right: percent(row.accuracy) }, true);
  const shown = rows.map((row) => row.accuracy);
  return Plot.plot({
    ariaLabel: box.dataset.label, width: Math.min(width, 480), height: 240, marginLeft: 48, marginBottom: 40, marginTop: 16, marginRight: 24,
    x: { type: "log", base: 2, label: gettext("Training rankings, doubling"), labelArrow: "none", labelAnchor: "center", ticks: rows.map((row) => row.size), tickFormat: significant },
    y: { domain: [Math.max(0, Math.min(...shown) - 0.05), Math.min(1, Math.max(...shown) + 0.05)], label: gettext("How often it is right"), labelArrow: "none", tickFormat: percent, ticks: 4, grid: true },
    marks: [
      Plot.line(rows, { x: "size", y: "accuracy", stroke: "var(--series-1)", strokeWidth: 1.5 }),
      Plot.dot(rows, { x: "size", y: "accuracy", fill: "var(--series-1)", stroke: "var(--surface)", r: 5, title, ariaLabel: title }),
    ],
  });
}

const CHARTS = { slices, reliability, scaling };

function draw() {
  for (const figure of document.querySelectorAll("[data-card]")) {
    const box = figure.querySelector(".plot");
    box.dataset.label = figure.getAttribute("aria-label");
    place(box, CHARTS[figure.dataset.card](box, Math.max(280, box.clientWidth)));
  }
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  draw();
});
draw();
