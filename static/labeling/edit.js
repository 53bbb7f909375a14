// Editing the best answer in place, with a word diff against what the model wrote. The original is never lost.

import { wordDiff } from "./diff.js";
import { template } from "./elements.js";

const DIFF_AFTER_MS = 120;

export class Edit {
  constructor({ answer, zones, cards, onRefused }) {
    Object.assign(this, { answer, zones, cards, onRefused });
    this.editors = new Map();
  }

  // Opens the editor of the best answer; of several, the one that the person is at.
  begin(current) {
    const { best, content } = this.answer;
    const key = this.answer.isEdited && best.includes(content.edited.key) ? content.edited.key : best.includes(current) ? current : best[0];
    if (key === undefined || content.all_bad) return this.onRefused(gettext("Say first which answer is best: that one can be edited."));
    if (this.answer.isEdited && content.edited.key !== key) {
      const words = gettext("You are editing %s already: put its original back first.");
      return this.onRefused(interpolate(words, [content.edited.key.toUpperCase()]));
    }
    if (content.edited?.key !== key) this.answer.change({ edited: { key, text: this.answer.textOf(key) } });
    this.#open(key).area.focus();
  }

  restored() {
    for (const key of this.editors.keys()) this.#close(key);
    const { edited } = this.answer.content;
    if (this.answer.isEdited && this.cards.has(edited.key)) this.#open(edited.key);
  }

  laidOut() {
    for (const { area } of this.editors.values()) this.#fit(area);
  }

  lock(isLocked) {
    for (const { area } of this.editors.values()) area.readOnly = isLocked;
  }

  // Left as it was, the editor closes again.
  leave() {
    const { edited } = this.answer.content;
    if (edited && !this.answer.isEdited) this.#close(edited.key);
  }

  #open(key) {
    const made = this.editors.get(key) ?? this.#make(key);
    const { edited } = this.answer.content;
    made.area.value = edited?.key === key ? edited.text : this.answer.textOf(key);
    this.cards.get(key).classList.add("is-edited");
    made.root.hidden = false;
    this.#fit(made.area);
    this.#paintDiff(key, made);
    return made;
  }

  #close(key) {
    this.cards.get(key)?.classList.remove("is-edited");
    const made = this.editors.get(key);
    if (made) made.root.hidden = true;
    if (this.answer.content.edited?.key === key && !this.answer.isEdited) this.answer.change({ edited: null });
  }

  #make(key) {
    const card = this.cards.get(key);
    const root = template("edit").firstElementChild;
    const made = { root, area: root.querySelector("textarea"), diff: root.querySelector(".edit-diff"), original: root.querySelector(".original"), mine: null };
    made.area.setAttribute("aria-label", interpolate(gettext("Your edit of answer %s"), [key.toUpperCase()]));
    made.area.addEventListener("input", () => this.#typed(key, made));
    made.original.addEventListener("click", () => this.#swap(key, made));
    card.querySelector(".answering").before(root);
    this.zones.add(root, { zone: "edit", key, act: () => "", focus: () => this.#open(key).area.focus() });
    this.editors.set(key, made);
    return made;
  }

  #typed(key, made) {
    this.answer.change({ edited: { key, text: made.area.value } });
    this.#fit(made.area);
    clearTimeout(made.timer);
    made.timer = setTimeout(() => this.#paintDiff(key, made), DIFF_AFTER_MS);
  }

  // The original comes back, and once more the edit: nothing written is thrown away by one press.
  #swap(key, made) {
    const original = this.answer.textOf(key);
    const isOriginal = made.area.value === original;
    if (!isOriginal) made.mine = made.area.value;
    made.area.value = isOriginal ? (made.mine ?? original) : original;
    this.#typed(key, made);
    this.#paintDiff(key, made);
    made.area.focus();
  }

  #paintDiff(key, made) {
    const original = this.answer.textOf(key);
    const isOriginal = made.area.value === original;
    made.diff.replaceChildren(isOriginal ? "" : wordDiff(original, made.area.value));
    made.diff.hidden = isOriginal;
    made.original.disabled = isOriginal && made.mine === null;
    made.original.textContent = isOriginal && made.mine !== null ? gettext("Bring my edit back") : gettext("Put the original back");
  }

  #fit(area) {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  }
}
