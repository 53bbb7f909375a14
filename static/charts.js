// Charts with Observable Plot: every point is a link, every chart has its table beside it, colours are the page's tokens.
/* global Plot */
import { percent, place, significant } from "./plots.js";

const JUDGES = {
  people: { label: "people", stroke: "var(--series-1)", dash: null, symbol: "circle" },
  gold: { label: "gold", stroke: "var(--series-3)", dash: "2 3", symbol: "square" },
  reward_model: { label: "reward model", stroke: "var(--series-2)", dash: "6 3", symbol: "triangle" },
};

function timeline(figure) {
  const all = JSON.parse(document.getElementById(figure.dataset.source).textContent);
  const points = all.filter((point) => point.against === figure.dataset.panel);
  const box = figure.querySelector(".plot");
  if (!points.length) return;
  const versions = [...new Set(all.map((point) => point.version))];
  const kinds = Object.keys(JUDGES).filter((kind) => points.some((point) => point.judge_kind === kind));
  // Judges stand side by side within a version, so that their intervals do not cover each other.
  const aside = (kind) => (kinds.indexOf(kind) - (kinds.length - 1) / 2) * 14;
  const labels = apart(kinds.map((kind) => points.filter((point) => point.judge_kind === kind).at(-1)));
  const marks = [Plot.ruleY([0.5], { stroke: "var(--line-strong)", strokeDasharray: "3 3" })];
  for (const kind of kinds) {
    const { label, stroke, dash, symbol } = JUDGES[kind];
    const line = points.filter((point) => point.judge_kind === kind);
    const at = { x: "version", dx: aside(kind) };
    const title = (point) => `${point.version} over ${point.baseline} by ${point.judge}: ${percent(point.win_rate)}, 95 % interval ${percent(point.low)} to ${percent(point.high)}, ${point.num_prompts} prompts`;
    marks.push(
      Plot.line(line, { ...at, y: "win_rate", stroke, strokeDasharray: dash, strokeWidth: 1.5 }),
      Plot.ruleX(line, { ...at, y1: "low", y2: "high", stroke, strokeWidth: 1.5 }),
      Plot.dot(line, { ...at, y: "win_rate", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "url", title, ariaLabel: title }),
      Plot.text([labels.get(kind)], { x: () => versions.at(-1), dx: 36, y: (height) => height, text: [label], fill: stroke, textAnchor: "start" }),
    );
  }
  place(box, Plot.plot({
    ariaLabel: figure.getAttribute("aria-label"),
    width: Math.max(280, box.clientWidth), height: 272, marginLeft: 44, marginRight: 88, marginTop: 16,
    x: { type: "point", domain: versions, label: null, padding: 0.5 },
    y: { domain: [0, 1], label: null, tickFormat: percent, grid: true, ticks: 5 },
    marks,
  }));
}

// The heights of the labels beside the last points, pushed apart until none covers another.
function apart(last) {
  const sorted = last.toSorted((one, other) => one.win_rate - other.win_rate);
  const heights = new Map();
  let below = -Infinity;
  for (const point of sorted) {
    below = Math.max(point.win_rate, below + 0.06);
    heights.set(point.judge_kind, below);
  }
  const over = Math.max(0, below - 1);
  for (const [kind, height] of heights) heights.set(kind, height - over);
  return heights;
}

async function curves(figure) {
  const box = figure.querySelector(".plot");
  const answer = await fetch(figure.dataset.url, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const { points } = await answer.json();
  if (points.length) place(box, ...names(points).map((name) => curve(points, name, box)));
}

const FIRST = ["loss", "accuracy", "score", "kl", "kl_sft", "reward_chosen", "reward_rejected", "score_spread", "length", "entropy"];
const HIDDEN = new Set(["step", "total_steps", "time", "phase", "epoch"]);

function names(points) {
  const found = new Set(points.flatMap((point) => Object.keys(point).filter((name) => typeof point[name] === "number" && !HIDDEN.has(name))));
  return [...FIRST.filter((name) => found.has(name)), ...[...found].filter((name) => !FIRST.includes(name)).sort()];
}

function curve(points, name, box) {
  const line = points.filter((point) => typeof point[name] === "number");
  const last = line[line.length - 1];
  // A curve that never moves leaves Plot nothing to choose ticks from: it would print 0.1 as 0.
  const constant = line.every((point) => point[name] === last[name]);
  const ticks = constant ? { ticks: [last[name]], tickFormat: significant } : { ticks: 4 };
  const columns = Math.max(1, Math.floor((box.clientWidth + 16) / 336));
  const width = Math.max(240, (box.clientWidth - (columns - 1) * 16) / columns);
  const panel = document.createElement("div");
  const heading = document.createElement("h3");
  heading.textContent = `${name.replaceAll("_", " ")} `;
  const value = document.createElement("small");
  value.textContent = significant(last[name]);
  heading.append(value);
  panel.append(heading, Plot.plot({
    ariaLabel: `${name} by step`, ariaDescription: `from ${significant(line[0][name])} to ${significant(last[name])} at step ${last.step}`,
    width, height: 150, marginLeft: 48, marginTop: 8, marginBottom: 24,
    x: { label: null, ticks: 4 }, y: { label: null, ...ticks, grid: true, nice: true },
    marks: [
      Plot.lineY(line, { x: "step", y: name, stroke: "var(--series-1)", strokeWidth: 1.5 }),
      Plot.ruleX(line, Plot.pointerX({ x: "step", stroke: "var(--line-strong)" })),
      Plot.text(line, Plot.pointerX({ x: "step", frameAnchor: "top-right", text: (point) => `${significant(point[name])} at ${point.step}`, fill: "var(--ink)" })),
    ],
  }));
  return panel;
}

function draw() {
  for (const figure of document.querySelectorAll('[data-chart="timeline"]')) timeline(figure);
  for (const figure of document.querySelectorAll('[data-chart="curves"]')) curves(figure);
}

let step = document.querySelector("#run-live [data-step]")?.dataset.step;
document.addEventListener("htmx:afterSwap", (event) => {
  const now = event.detail.target.querySelector?.("[data-step]")?.dataset.step;
  if (now === undefined || now === step) return;
  step = now;
  for (const figure of document.querySelectorAll('[data-chart="curves"]')) curves(figure);
});

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  draw();
});
draw();
