// Draws the figures of a page (templates/components/figure.html): register({name: draw}) and every
// <figure data-figure="name"> gets its chart, again when the window's width changes, and its export buttons.
// draw(data, {width, label}) returns one SVG made of data alone, so that the same data gives the same bytes.
import { place } from "../plots.js";
import { save } from "./export.js";

const drawers = {};
const dataOf = new WeakMap();
const EXPORT_WIDTH = 960;

export function register(more) {
  Object.assign(drawers, more);
  drawAll();
}

// What is drawn besides the data of the page while something goes on: it never comes into an export.
export function redraw(name, live) {
  for (const figure of document.querySelectorAll(`[data-figure="${name}"]`)) draw(figure, live);
}

function read(figure) {
  if (!dataOf.has(figure)) dataOf.set(figure, JSON.parse(figure.querySelector('script[type="application/json"]').textContent));
  return dataOf.get(figure);
}

function chart(figure, width, live = {}) {
  return drawers[figure.dataset.figure]({ ...read(figure), ...live }, { width, label: figure.getAttribute("aria-label") });
}

const lives = new WeakMap();

function draw(figure, live = lives.get(figure)) {
  if (!drawers[figure.dataset.figure]) return;
  lives.set(figure, live);
  const box = figure.querySelector(".plot");
  place(box, chart(figure, Math.max(280, box.clientWidth), live));
}

function drawAll() {
  for (const figure of document.querySelectorAll("[data-figure]")) draw(figure);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-export]");
  const figure = button?.closest("[data-figure]");
  if (!figure || !drawers[figure.dataset.figure]) return;
  const box = document.createElement("div");
  place(box, chart(figure, EXPORT_WIDTH));
  save(box.firstElementChild, button.dataset.export, `${document.querySelector("[data-file]")?.dataset.file ?? "hone"}-${figure.dataset.figure}`);
});

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  drawAll();
});
