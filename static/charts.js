// The curves of a run with Observable Plot; its table stands beside them, colours are the page's tokens.
/* global Plot */
import { place, significant } from "./plots.js";

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
