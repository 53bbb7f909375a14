// The figures of the project overview, and the light bands of what is judged while one looks.
import { redraw, register } from "./figure.js";
import { confusion, reliability } from "./agreement.js";
import { forest, matrix } from "./rankings.js";
import { controls, slices } from "./slices.js";
import { timeline } from "./timeline.js";

register({ timeline, forest, matrix, slices, controls, reliability, confusion });

let bands = "";
function follow() {
  const text = document.getElementById("bands")?.textContent ?? "[]";
  if (text === bands) return;
  bands = text;
  redraw("timeline", { live: JSON.parse(text) });
}
document.addEventListener("htmx:afterSwap", follow);
follow();
