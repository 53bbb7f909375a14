// A row of choices with one tab stop: arrows go along it, Space or a digit chooses. One of them, or any number of them.

import { element } from "./elements.js";

const NUMBER_ROW = [..."1234567890-="]; // the keys of the number row, for lists longer than nine

export class Choices {
  // options: [{value, label, name, key}]; `name` is said where the label alone would not tell enough; `key` chooses it
  // (by default its place in the number row) and is shown unless the label says it.
  constructor({ label, options, isMany = false, showsKeys = true, onPick }) {
    Object.assign(this, { isMany, onPick });
    this.options = options.map((option, index) => ({ key: NUMBER_ROW[index], ...option }));
    this.root = element("div", "choices-row");
    this.root.setAttribute("role", isMany ? "group" : "radiogroup");
    this.root.setAttribute("aria-label", label);
    this.buttons = this.options.map((option) => this.#button(option, showsKeys));
    this.root.append(...this.buttons);
    this.stop = 0;
  }

  #button({ value, label, name, key }, showsKeys) {
    const button = element("button", "choice");
    Object.assign(button, { type: "button", tabIndex: -1, value: String(value) });
    if (showsKeys && key) button.append(hintOf(key));
    button.append(element("span", "", label));
    if (name) button.setAttribute("aria-label", name);
    if (!this.isMany) button.setAttribute("role", "radio");
    button.addEventListener("click", () => this.isLocked || this.onPick(value));
    button.addEventListener("focus", () => (this.stop = this.buttons.indexOf(button)));
    return button;
  }

  get stop() {
    return this.buttons.findIndex((button) => button.tabIndex === 0);
  }

  set stop(index) {
    this.buttons.forEach((button, other) => (button.tabIndex = other === index ? 0 : -1));
  }

  // `chosen`: the value, or of many the list of values.
  paint(chosen) {
    this.buttons.forEach((button, index) => {
      const { value } = this.options[index];
      const isOn = this.isMany ? chosen.includes(value) : chosen === value;
      button.setAttribute(this.isMany ? "aria-pressed" : "aria-checked", String(isOn));
      if (isOn && !this.isMany && !this.root.contains(document.activeElement)) this.stop = index;
    });
  }

  // Not by `disabled`: that would take the focus away from whoever is here.
  lock(isLocked) {
    this.isLocked = isLocked;
    for (const button of this.buttons) button.setAttribute("aria-disabled", String(isLocked));
  }

  focus() {
    this.buttons[Math.max(0, this.stop)].focus();
  }

  // "stay" where the focus moved, "done" where a choice was made, "" where the command is not ours.
  act({ name, digit, by }) {
    if (name === "across") {
      const { length } = this.buttons;
      this.stop = (this.stop + by + length) % length;
      this.focus();
      return "stay";
    }
    const index = name === "digit" ? this.options.findIndex(({ key }) => key === digit) : -1;
    if (index < 0 || this.buttons[index].disabled) return "";
    this.stop = index;
    this.onPick(this.options[index].value);
    return "done";
  }
}

export function hintOf(key) {
  const hint = element("span", "hint", key);
  hint.setAttribute("aria-hidden", "true");
  return hint;
}
