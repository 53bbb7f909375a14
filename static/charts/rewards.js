// Reward views: distribution functions, versions by reward models, best of n, and the frontier of reward and KL.
/* global Plot */
import { significant } from "../plots.js";
import { register } from "./figure.js";

const STYLES = [
  { stroke: "var(--series-5)", dash: "2 3", symbol: "square" },
  { stroke: "var(--series-2)", dash: "6 3", symbol: "triangle" },
  { stroke: "var(--series-3)", dash: "8 3 2 3", symbol: "diamond" },
  { stroke: "var(--series-4)", dash: "1 2", symbol: "star" },
  { stroke: "var(--series-1)", dash: null, symbol: "circle" },
];
// The newest has the full line, whatever the number of them.
const styleOf = (place, count) => STYLES[STYLES.length - count + place];
const two = (value) => value.toFixed(2).replace("-", "−");
const share = (value) => `${Math.round(value * 100)} %`;

function distribution({ rows, versions }, { width, label }) {
  const marks = [Plot.ruleY([0, 1], { stroke: "var(--line)" })];
  versions.forEach((version, place) => {
    const { stroke, dash, symbol } = styleOf(place, versions.length);
    const line = rows.filter((row) => row.version === version);
    const median = line[Math.floor(line.length / 2)];
    const named = line[Math.floor(line.length * (0.3 + 0.12 * place))];
    const title = `${version}: half of its answers have a reward of at most ${two(median.reward)}`;
    marks.push(
      Plot.line(line, { x: "reward", y: "share", stroke, strokeDasharray: dash, strokeWidth: 1.75, curve: "monotone-y" }),
      Plot.dot([median], { x: "reward", y: "share", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "href", ariaLabel: () => title, title: () => title }),
      Plot.text([named], { x: "reward", y: "share", text: [version], dx: 8, dy: 6, textAnchor: "start", fill: stroke, fontWeight: 600, stroke: "var(--surface)", strokeWidth: 4 }),
    );
  });
  return Plot.plot({
    ariaLabel: label, width, height: 300, marginLeft: 52, marginRight: 24, marginTop: 28, marginBottom: 40,
    x: { label: "reward", labelAnchor: "center", labelArrow: "none", nice: true, ticks: 6 },
    y: { domain: [0, 1], label: "share of answers at most so high", labelArrow: "none", tickFormat: share, ticks: 4, grid: true },
    marks,
  });
}

function byModel({ rows, versions, models }, { width, label }) {
  const wide = Math.min(width, 96 + 180 * models.length);
  const most = Math.max(1, ...rows.map((row) => Math.abs(row.standard_mean ?? 0)));
  const fill = (row) => (row.standard_mean < 0 ? "var(--series-2)" : "var(--series-1)");
  const opacity = (row) => 0.05 + (0.35 * Math.abs(row.standard_mean ?? 0)) / most;
  const say = (row) => (row.standard_mean === null ? "–" : two(row.standard_mean));
  const title = (row) => `${row.version} by ${row.reward_model}: ${say(row)} deviations from the first version${row.trained ? ", trained on it" : ""}`;
  const at = { x: "reward_model", y: "version" };
  const trained = rows.filter((row) => row.trained);
  return Plot.plot({
    ariaLabel: label, width: wide, height: 56 + 44 * versions.length, marginLeft: 72, marginTop: 36, marginBottom: 8, marginRight: 8,
    x: { type: "band", domain: models, axis: "top", label: null, tickSize: 0, padding: 0.06 },
    y: { type: "band", domain: versions, label: null, tickSize: 0, padding: 0.1 },
    marks: [
      Plot.cell(rows, { ...at, fill, fillOpacity: opacity, href: "href", ariaLabel: title, title }),
      Plot.cell(trained, { ...at, fill: "none", stroke: "var(--ink-muted)", strokeWidth: 2, strokeDasharray: "4 3", pointerEvents: "none" }),
      Plot.text(rows, { ...at, text: (row) => (row.trained ? `${say(row)}  trained on it` : say(row)), fill: "var(--ink)", fontWeight: 600, fontSize: 12, pointerEvents: "none" }),
    ],
  });
}

function bestOfN({ rows, runs }, { width, label }) {
  const marks = [];
  runs.forEach((run, place) => {
    const { stroke, symbol } = styleOf(place, runs.length);
    const line = rows.filter((row) => row.run === run);
    const last = line.at(-1);
    const title = `${run}: the best of ${last.n} scores ${two(last.best)}, the median ${last.median === null ? "–" : two(last.median)}`;
    marks.push(
      Plot.line(line, { x: "n", y: "best", stroke, strokeWidth: 1.75 }),
      Plot.line(line.filter((row) => row.median !== null), { x: "n", y: "median", stroke, strokeDasharray: "3 3", strokeWidth: 1.25 }),
      Plot.dot([last], { x: "n", y: "best", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "href", ariaLabel: () => title, title: () => title }),
      Plot.text([last], { x: "n", y: "best", dx: 10, textAnchor: "start", text: () => (runs.length > 1 ? `best, ${run}` : "best"), fill: stroke, fontWeight: 600 }),
      Plot.text([last], { x: "n", y: (row) => row.median ?? row.best, dx: 10, dy: last.median === null ? 14 : 0, textAnchor: "start", text: () => "median", fill: stroke }),
    );
  });
  const powers = [...new Set(rows.map((row) => row.n))].filter((n) => Number.isInteger(Math.log2(n)));
  return Plot.plot({
    ariaLabel: label, width, height: 260, marginLeft: 52, marginRight: 150, marginTop: 28, marginBottom: 40,
    x: { type: "log", base: 2, label: "n", ticks: powers, labelAnchor: "center", labelArrow: "none", tickFormat: significant },
    y: { label: "score", labelArrow: "none", grid: true, nice: true, ticks: 5 },
    marks,
  });
}

function frontier({ rows, runs }, { width, label }) {
  const marks = [];
  runs.forEach((run, place) => {
    const { stroke, dash, symbol } = styleOf(place, runs.length);
    const line = rows.filter((row) => row.run === run);
    const last = line.at(-1);
    const title = `${run}, step ${last.step}: ${two(last.kl_sft)} nats from the SFT version, score ${two(last.score)}`;
    marks.push(
      Plot.line(line, { x: "sqrt_kl", y: "score", stroke, strokeDasharray: dash, strokeWidth: 1.75 }),
      Plot.dot([last], { x: "sqrt_kl", y: "score", fill: stroke, stroke: "var(--surface)", symbol, r: 5, href: "href", ariaLabel: () => title, title: () => title }),
      Plot.text([last], { x: "sqrt_kl", y: "score", dx: 10, textAnchor: "start", text: [run], fill: stroke, fontWeight: 600 }),
    );
  });
  return Plot.plot({
    ariaLabel: label, width, height: 280, marginLeft: 52, marginRight: 84, marginTop: 28, marginBottom: 40,
    x: { label: "√KL to the SFT version, √nats a completion", labelAnchor: "center", labelArrow: "none", nice: true, ticks: 6 },
    y: { label: "score", labelArrow: "none", grid: true, nice: true, ticks: 5 },
    marks,
  });
}

register({ distribution, "by-model": byModel, "best-of-n": bestOfN, frontier });
