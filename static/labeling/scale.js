// Which of two answers is better, and by how much: one row from "A is far better" to "B is far better", one key each.

import { Choices, hintOf } from "./choices.js";
import { element } from "./elements.js";

const TIE = "tie";

export class Scale {
  constructor({ answer, zones, cards }) {
    Object.assign(this, { answer, cards });
    const options = this.#options();
    this.choices = new Choices({ label: gettext("Which answer is better?"), options, onPick: (value) => this.#pick(value) });
    this.root = element("div", "scale");
    this.root.append(this.#laidOut(options));
    zones.add(this.root, { zone: "scale", act: (command) => this.act(command), focus: () => this.choices.focus() });
  }

  act(command) {
    const { name, digit } = command;
    const isTie = name === "tie" || (name === "digit" && digit === "0");
    if (!isTie) return this.choices.act(command);
    if (!this.#hasTie()) return "";
    this.#pick(TIE);
    return "done";
  }

  paint() {
    const { content, isTied } = this.answer;
    const chosen = content.all_bad ? null : isTied ? TIE : this.#chosen();
    this.choices.paint(chosen);
    const [first, second] = this.answer.keys;
    const better = isTied || !content.ranks[first] || !content.ranks[second] ? null : content.ranks[first] < content.ranks[second] ? first : second;
    for (const [key, card] of this.cards) {
      card.classList.toggle("is-placed", key === better || isTied);
      card.querySelector(".placed").textContent = content.all_bad ? gettext("bad") : isTied ? gettext("tie") : key === better ? gettext("better") : "";
    }
  }

  lock(isLocked) {
    this.choices.lock(isLocked);
  }

  #chosen() {
    const [first, second] = this.answer.keys.map((key) => this.answer.content.ranks[key]);
    if (!first || !second) return null;
    return code(first < second ? 0 : 1, this.answer.asks.strength ? this.answer.content.strength : null);
  }

  #pick(value) {
    if (value === TIE) return this.answer.prefer(null, null);
    const [side, strength] = value.split(":").map(Number);
    this.answer.prefer(side, strength || null);
  }

  #hasTie() {
    return this.answer.asks.ties;
  }

  // In the order of the row; the keys are its places, so that a tie in the middle of seven keeps the 4.
  #options() {
    const { strength } = this.answer.asks;
    if (!strength) {
      const sides = [0, 1].map((side) => ({ value: code(side, null), label: this.#isBetter(side), key: String(side + 1) }));
      return this.#hasTie() ? [sides[0], { value: TIE, label: gettext("Tie"), key: "0" }, sides[1]] : sides;
    }
    const levels = strength.levels.filter(({ value }) => value > 0).sort((a, b) => b.value - a.value);
    const middle = strength.levels.find(({ value }) => value === 0);
    const isSeven = strength.scale === "seven";
    const tie = { value: TIE, label: middle?.label ?? gettext("Tie"), key: isSeven ? String(levels.length + 1) : "0" };
    const first = levels.map((level, index) => this.#level(0, level, index + 1));
    const second = [...levels].reverse().map((level, index) => this.#level(1, level, levels.length + index + (isSeven ? 2 : 1)));
    return this.#hasTie() ? [...first, tie, ...second] : [...first, ...second];
  }

  #level(side, { value, label }, place) {
    const words = gettext("%(answer)s is better: %(level)s");
    const name = interpolate(words, { answer: this.#letter(side), level: label }, true);
    return { value: code(side, value), label, name, key: String(place) };
  }

  #isBetter(side) {
    return interpolate(gettext("%s is better"), [this.#letter(side)]);
  }

  #letter(side) {
    return this.answer.keys[side].toUpperCase();
  }

  // Two groups with a heading each, and what is neither between them; on a phone one under the other.
  #laidOut(options) {
    const groups = [0, 1].map((side) => {
      const group = element("div", "side");
      if (this.answer.asks.strength) group.append(element("span", "side-title", this.#isBetter(side)));
      const buttons = element("div", "side-choices");
      buttons.append(...this.choices.buttons.filter((_, index) => options[index].value.startsWith(`${side}:`)));
      group.append(buttons);
      return group;
    });
    const tie = this.choices.buttons[options.findIndex(({ value }) => value === TIE)];
    this.choices.root.append(groups[0], ...(tie ? [tie] : []), groups[1]);
    return this.choices.root;
  }
}

export function allBadButton(answer) {
  const button = element("button", "choice all-bad");
  button.type = "button";
  button.append(hintOf("x"), element("span", "", answer.isPair ? gettext("Both are bad") : gettext("All are bad")));
  return button;
}

function code(side, strength) {
  return `${side}:${strength ?? ""}`;
}
