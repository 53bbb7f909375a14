// The frame around a task: title, pace, what is missing, the guidelines beside it.

import { number } from "./elements.js";

const PACE_OVER = 10; // answers
const ROOMY_PX = 1024;

function part(id) {
  return document.getElementById(id);
}

export class Bar {
  #paces = [];

  constructor(shelf) {
    this.shelf = shelf;
    for (const id of ["guidelines-button", "guidelines-close"]) part(id).addEventListener("click", () => this.toggleGuidelines());
  }

  pace(seconds) {
    this.#paces = [...this.#paces, seconds].slice(-PACE_OVER);
  }

  paintPace({ done_today: done, open }) {
    const parts = [interpolate(ngettext("%s done today", "%s done today", done), [number(done)]), interpolate(ngettext("%s open", "%s open", open), [number(open)])];
    if (this.#paces.length) parts.push(this.#each());
    part("pace").textContent = parts.join(" · ");
  }

  #each() {
    const seconds = this.#paces.reduce((sum, pace) => sum + pace, 0) / this.#paces.length;
    if (seconds < 90) return interpolate(gettext("%s s each"), [number(seconds)]);
    return interpolate(gettext("%s min each"), [number(seconds / 60, 1)]);
  }

  paintTask(task) {
    part("task-title").textContent = task ? titleOf(task) : gettext("Label");
    part("step").hidden = !task?.qualification;
    if (task?.qualification) part("step").textContent = interpolate(gettext("Qualification: %(number)s of %(of)s"), task.qualification, true);
    part("submit-label").textContent = task?.revises ? gettext("Submit the change") : gettext("Submit");
    part("submit-key").textContent = ["demonstrate", "prompt"].includes(task?.kind) ? "Ctrl Enter" : "Enter";
    part("skip-button").hidden = Boolean(task?.revises);
    part("keep-button").hidden = !task?.revises;
    this.#paintGuidelines(task);
  }

  showSubmit(isShown) {
    part("submit-bar").hidden = !isShown;
  }

  state(text, isMissing = true) {
    part("task-state").textContent = text;
    part("submit-button").setAttribute("aria-disabled", String(isMissing));
  }

  draft(text) {
    part("draft-state").textContent = text;
  }

  // Open where there is room for it and nobody closed it; a person's own choice is remembered.
  #paintGuidelines(task) {
    const html = task?.guidelines.html ?? "";
    part("guidelines-text").innerHTML = html; // made harmless by the server (rlhf/render.py)
    part("guidelines-button").hidden = !html;
    const isRoomy = ["demonstrate", "prompt"].includes(task?.kind) && innerWidth >= ROOMY_PX;
    const isOpen = this.shelf.get("choice", "guidelines")?.isOpen ?? isRoomy;
    this.#openGuidelines(Boolean(html) && isOpen);
  }

  #openGuidelines(isOpen) {
    part("guidelines").hidden = !isOpen;
    part("guidelines-button").setAttribute("aria-expanded", String(isOpen));
  }

  toggleGuidelines() {
    if (part("guidelines-button").hidden) return;
    const isOpen = part("guidelines").hidden;
    const hadFocus = part("guidelines").contains(document.activeElement);
    this.shelf.put("choice", "guidelines", { isOpen });
    this.#openGuidelines(isOpen);
    if (hadFocus) part("guidelines-button").focus();
  }
}

function titleOf({ kind, revises, completions }) {
  if (revises) return gettext("Change your last answer");
  if (kind === "demonstrate") return gettext("Write the ideal answer");
  if (kind === "prompt") return gettext("Write a prompt");
  return completions.length === 2 ? gettext("Which answer is better?") : gettext("Rank the answers, best first");
}
