// Questions about each answer by itself, inside its card: a rating of 1 to 7 and flags.

import { Choices } from "./choices.js";
import { element } from "./elements.js";

export class Sheet {
  constructor({ answer, zones, cards }) {
    Object.assign(this, { answer, zones });
    this.rows = [];
    for (const [key, card] of cards) {
      const sheet = element("div", "sheet");
      if (answer.asks.rating) sheet.append(this.#rating(key));
      if (answer.asks.flags.length) sheet.append(this.#flags(key));
      if (sheet.children.length) card.querySelector(".answering").append(sheet);
    }
  }

  paint() {
    for (const { choices, chosen } of this.rows) choices.paint(chosen());
  }

  lock(isLocked) {
    for (const { choices } of this.rows) choices.lock(isLocked);
  }

  #rating(key) {
    const { answer } = this;
    const { low, high } = answer.asks.rating;
    const values = Array.from({ length: high - low + 1 }, (_, index) => low + index);
    const label = interpolate(gettext("Quality of answer %s, 1 to 7"), [key.toUpperCase()]);
    const options = values.map((value) => ({ value, label: String(value), key: String(value) }));
    const choices = new Choices({ label, options, showsKeys: false, onPick: (value) => answer.rate(key, value) });
    const after = () => (this.zones.find("flags", key) ? { zone: "flags", key } : null);
    return this.#row(gettext("Quality"), choices, { zone: "rating", key, after, chosen: () => answer.content.ratings[key] });
  }

  #flags(key) {
    const { answer } = this;
    const label = interpolate(gettext("What is true of answer %s"), [key.toUpperCase()]);
    const options = answer.asks.flags.map((flag) => ({ value: flag.name, label: flag.label }));
    const choices = new Choices({ label, options, isMany: true, onPick: (name) => answer.toggleFlag(key, name) });
    const after = () => ({ zone: "flags", key });
    return this.#row(gettext("Flags"), choices, { zone: "flags", key, after, chosen: () => answer.content.flags[key] ?? [] });
  }

  #row(label, choices, { zone, key, after, chosen }) {
    const row = element("div", "ask-row");
    row.append(element("span", "ask-label", label), choices.root);
    this.rows.push({ choices, chosen });
    return this.zones.add(row, { zone, key, after, act: (command) => choices.act(command), focus: () => choices.focus() });
  }
}
