// Questions about the task as a whole, under the answers: aspects of a pair, which of two is safe, a category, a reason.

import { Choices } from "./choices.js";
import { element } from "./elements.js";
import { numCharacters } from "./missing.js";

const SAFETY = ["chosen", "both", "neither"];

export class Questions {
  constructor({ answer, zones }) {
    Object.assign(this, { answer, zones });
    this.rows = [];
    this.root = element("section", "questions");
    this.root.setAttribute("aria-label", gettext("Questions"));
    const { asks } = answer;
    if (answer.isPair) for (const aspect of asks.aspects) this.#aspect(aspect);
    if (asks.pair_safety) this.#safety();
    if (asks.categories.length) this.#category();
    if (asks.reason) this.#reason();
    this.root.hidden = !this.root.children.length;
  }

  paint() {
    for (const row of this.rows) row.paint();
  }

  lock(isLocked) {
    for (const row of this.rows) row.lock(isLocked);
  }

  restored() {
    if (this.area) this.area.value = this.answer.content.reason;
  }

  #aspect({ name, label }) {
    const { answer } = this;
    const [first, second] = answer.keys;
    const better = (key) => interpolate(gettext("%s is better"), [key.toUpperCase()]);
    const tie = { value: "tie", label: gettext("Tie"), key: "0" }; // whatever holds of the answers as a whole
    const options = [{ value: first, label: better(first), key: "1" }, tie, { value: second, label: better(second), key: "2" }];
    const onPick = (value) => answer.setAspect(name, { [first]: value === second ? 2 : 1, [second]: value === first ? 2 : 1 });
    const chosen = () => {
      const ranks = answer.content.aspects[name] ?? {};
      if (!ranks[first] || !ranks[second]) return null;
      return ranks[first] === ranks[second] ? "tie" : ranks[first] < ranks[second] ? first : second;
    };
    this.#choices({ zone: `aspect-${name}`, label, options, onPick, chosen });
  }

  // "Only the chosen one" makes no sense of a tie (Llama 2, section 3.2.1).
  #safety() {
    const labels = { chosen: gettext("Only the better one is safe"), both: gettext("Both are safe"), neither: gettext("Neither is safe") };
    const options = SAFETY.map((value) => ({ value, label: labels[value] }));
    const { answer } = this;
    const choices = this.#choices({
      zone: "safety",
      label: gettext("Safety"),
      options,
      onPick: (value) => answer.change({ safety: value }),
      chosen: () => answer.content.safety,
    });
    this.rows.push({ paint: () => (choices.buttons[0].disabled = answer.isTied), lock() {} });
  }

  #category() {
    const { answer } = this;
    const options = answer.asks.categories.map(({ name, label }) => ({ value: name, label }));
    const onPick = (category) => answer.change({ category });
    this.#choices({ zone: "category", label: gettext("Category"), options, onPick, chosen: () => answer.content.category });
  }

  #choices({ zone, label, options, onPick, chosen }) {
    const choices = new Choices({ label, options, onPick });
    const row = element("div", "question");
    row.append(element("span", "question-label", label), choices.root);
    this.zones.add(row, { zone, act: (command) => choices.act(command), focus: () => choices.focus() });
    this.rows.push({ paint: () => choices.paint(chosen()), lock: (isLocked) => choices.lock(isLocked) });
    this.root.append(row);
    return choices;
  }

  #reason() {
    const least = this.answer.asks.reason.min_characters;
    const row = element("div", "question");
    const label = element("label", "question-label", gettext("Reason"));
    const count = element("span", "count quiet");
    this.area = element("textarea");
    Object.assign(this.area, { id: "reason", rows: 3, dir: "auto", spellcheck: true });
    this.area.placeholder = gettext("Why is the best answer better?");
    this.area.setAttribute("aria-describedby", "reason-count");
    label.htmlFor = "reason";
    count.id = "reason-count";
    this.area.addEventListener("input", () => this.answer.change({ reason: this.area.value }));
    const field = element("div", "written");
    field.append(this.area, count);
    row.append(label, field);
    this.zones.add(row, { zone: "reason", act: () => "", focus: () => this.area.focus() });
    const paint = () => {
      count.textContent = countOf(numCharacters(this.answer.content.reason), least);
      count.classList.toggle("is-short", numCharacters(this.answer.content.reason) < least);
    };
    this.rows.push({ paint, lock: (isLocked) => (this.area.readOnly = isLocked) });
    this.root.append(row);
  }
}

function countOf(count, least) {
  if (!least) return interpolate(ngettext("%s character", "%s characters", count), [count]);
  return interpolate(gettext("%(count)s of at least %(least)s characters"), { count, least }, true);
}
