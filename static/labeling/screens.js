// What stands in the place of a task: nothing to do, a pause, a warning before a task, what came of a qualification task.

import { element, template } from "./elements.js";
import { answerAsText } from "./wording.js";

// Each returns the elements to show; `act` is called with what the person chose.

export function nothing(lookAgain) {
  const made = template("nothing").firstElementChild;
  made.querySelector(".look-again").addEventListener("click", lookAgain);
  return made;
}

// why: said by the server where tasks are open, but none of them is for this person now.
export function looked(made, why) {
  const said = made.querySelector(".why");
  said.dataset.usual ??= said.textContent;
  said.textContent = why || said.dataset.usual;
  const time = new Date().toLocaleTimeString(document.documentElement.lang, { timeStyle: "medium" });
  made.querySelector(".looked").textContent = interpolate(gettext("Last looked at %s"), [time]);
}

export function paused(reason) {
  const made = template("paused").firstElementChild;
  made.querySelector(".why").textContent = reason;
  return made;
}

// The text of the task is not in the page before the person asks for it.
export function warning(text, act) {
  const made = template("warning").firstElementChild;
  made.querySelector(".warning-text").textContent = text;
  for (const button of made.querySelectorAll("button")) button.addEventListener("click", () => act(button.value));
  return made;
}

export function feedback({ right, html, expected }, task, body) {
  const made = template("feedback").firstElementChild;
  made.classList.toggle("is-right", right);
  made.querySelector("h2").textContent = right ? gettext("✓ Right") : gettext("✕ Not as expected");
  made.querySelector(".why").innerHTML = html; // made harmless by the server (rlhf/render.py)
  const facts = made.querySelector(".facts");
  const rows = [[gettext("Expected"), answerAsText(expected, task.asks)]];
  if (body) rows.push([gettext("Your answer"), answerAsText(only(body, expected), task.asks)]);
  for (const [term, text] of rows) facts.append(element("dt", "", term), element("dd", "", text));
  return made;
}

function only(body, expected) {
  return Object.fromEntries(Object.keys(expected).filter((name) => name in body).map((name) => [name, body[name]]));
}
