// Ranking K answers: cards with rank buttons, and a tray of ranks between which letters can be dragged (SortableJS).

import { paintCompletion, paintPrompt, template } from "./answers.js";
import { element } from "./notices.js";
import { Ranking } from "./ranking.js";

const ORDINALS = ["", "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];

export class Board {
  constructor(task, { onChange, onRefused }) {
    Object.assign(this, { task, onChange, onRefused });
    this.keys = task.completions.map(({ key }) => key);
    this.current = this.keys[0];
    this.isLocked = false;
    this.root = template("rank");
    paintPrompt(this.root.querySelector(".prompt"), task.prompt);
    this.cards = new Map(task.completions.map((completion) => [completion.key, this.#card(completion)]));
    this.root.querySelector(".completions").append(...this.cards.values());
    this.#paintTray(this.root.querySelector(".tray"));
    this.restore(null);
  }

  restore(content) {
    this.ranking = new Ranking(this.keys, { allowTies: this.task.asks.ties, ranks: content?.ranks });
    this.current = this.ranking.missing[0] ?? this.keys[0];
    this.#paint();
  }

  start() {
    this.#focus(this.current, { preventScroll: true });
  }

  get content() {
    return { ranks: this.ranking.asGiven() };
  }

  get answer() {
    return this.ranking.isComplete ? { ranks: this.ranking.dense() } : null;
  }

  get lacking() {
    const missing = this.ranking.missing.map((key) => key.toUpperCase());
    if (missing.length === 0) return "";
    const num_placed = this.keys.length - missing.length;
    return `${num_placed} of ${this.keys.length} ranked; ${missing.join(", ")} to go`;
  }

  lock(isLocked) {
    this.isLocked = isLocked;
    for (const sortable of this.sortables) sortable.option("disabled", isLocked);
  }

  act({ name, rank, by, key }) {
    const commands = {
      place: () => this.#place(this.current, rank, { goOn: true }),
      move: () => this.#focus(this.keys[(this.keys.indexOf(this.current) + by + this.keys.length) % this.keys.length]),
      focus: () => this.keys.includes(key) && this.#focus(key),
      clear: () => this.#change(() => this.ranking.clear(this.current)),
      undo: () => this.#change(() => this.ranking.undo()),
    };
    if (!(name in commands)) return false;
    if (!this.isLocked) commands[name]();
    return true;
  }

  #place(key, rank, { goOn = false } = {}) {
    if (this.isLocked || rank > this.keys.length) return;
    const refusal = this.ranking.place(key, rank);
    if (refusal) {
      this.onRefused(refusal);
      this.#paint();
      return;
    }
    this.#change(() => {});
    if (goOn) this.#focus(this.ranking.nextUnranked(key));
  }

  #change(change) {
    change();
    this.#paint();
    this.onChange();
  }

  #focus(key, options = {}) {
    this.current = key;
    this.#paint();
    const card = this.cards.get(key);
    card.focus({ preventScroll: true });
    if (!options.preventScroll) card.scrollIntoView({ block: "nearest" });
  }

  #card(completion) {
    const card = paintCompletion(completion);
    const buttons = card.querySelector(".rank-buttons");
    buttons.setAttribute("aria-label", `Rank of answer ${completion.key.toUpperCase()}`);
    for (let rank = 1; rank <= this.keys.length; rank += 1) {
      const button = element("button", "", String(rank));
      Object.assign(button, { type: "button", value: rank });
      button.addEventListener("click", () => this.#place(completion.key, rank));
      buttons.append(button);
    }
    card.addEventListener("focusin", () => {
      if (this.current === completion.key) return;
      this.current = completion.key;
      this.#paint();
    });
    return card;
  }

  #paintTray(tray) {
    const rows = tray.querySelector(".rank-rows");
    this.keys.forEach((_, index) => {
      const row = template("rank-row").firstElementChild;
      row.querySelector(".rank-number").textContent = ORDINALS[index + 1];
      row.querySelector(".chips").dataset.rank = index + 1;
      rows.append(row);
    });
    this.lists = [...tray.querySelectorAll(".chips")];
    this.chips = new Map(this.keys.map((key) => [key, this.#chip(key)]));
    this.sortables = this.lists.map((list) =>
      Sortable.create(list, { group: "ranks", animation: 0, delay: 80, delayOnTouchOnly: true, onEnd: (event) => this.#dropped(event) }),
    );
  }

  #chip(key) {
    const chip = template("chip").firstElementChild;
    chip.textContent = key.toUpperCase();
    chip.dataset.key = key;
    chip.addEventListener("click", () => this.#focus(key));
    return chip;
  }

  #dropped({ item, to }) {
    const key = item.dataset.key;
    if (to.dataset.rank === "") this.#change(() => this.ranking.clear(key));
    else this.#place(key, Number(to.dataset.rank));
  }

  #paint() {
    for (const [key, card] of this.cards) {
      const rank = this.ranking.ranks.get(key);
      const isCurrent = key === this.current;
      card.classList.toggle("is-current", isCurrent);
      card.classList.toggle("is-placed", rank !== undefined);
      card.tabIndex = isCurrent ? 0 : -1;
      card.querySelector(".placed").textContent = rank ? `${ORDINALS[rank]}${this.ranking.isTied(key) ? ", tied" : ""}` : "";
      for (const button of card.querySelectorAll(".rank-buttons button")) {
        button.setAttribute("aria-pressed", String(Number(button.value) === rank));
      }
      const list = this.lists.find((other) => other.dataset.rank === String(rank ?? ""));
      if (this.chips.get(key).parentElement !== list) list.append(this.chips.get(key));
      this.chips.get(key).classList.toggle("is-current", isCurrent);
    }
  }
}
