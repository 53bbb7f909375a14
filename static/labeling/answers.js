// The part of the page that differs by kind of task. Each shows a task and knows: content (the draft), answer (what is
// sent, or null with `lacking` saying why), act (a command), restore (a draft), start (where the focus goes).

import { element } from "./notices.js";

export function template(id) {
  return document.getElementById(`${id}-template`).content.cloneNode(true);
}

export function paintPrompt(place, messages) {
  const only = messages.length === 1;
  place.append(
    ...messages.map(({ role, html }) => {
      const message = template("message").firstElementChild;
      message.classList.add(`from-${role}`);
      message.querySelector(".role").textContent = only ? "Prompt" : role;
      message.querySelector(".prose").innerHTML = html; // made harmless by the server (rlhf/render.py)
      return message;
    }),
  );
}

export class Writing {
  constructor(task, { onChange }) {
    this.root = template("demonstrate");
    paintPrompt(this.root.querySelector(".prompt"), task.prompt);
    this.area = this.root.querySelector("textarea");
    this.count = this.root.querySelector(".count");
    this.area.addEventListener("input", () => {
      this.#fit();
      onChange();
    });
  }

  restore(content) {
    this.area.value = content?.text ?? "";
    this.#fit();
  }

  start() {
    this.area.focus();
  }

  get content() {
    return { text: this.area.value };
  }

  get answer() {
    return this.area.value.trim() ? { text: this.area.value } : null;
  }

  get lacking() {
    return this.answer ? "" : "Nothing written yet";
  }

  lock(isLocked) {
    this.area.readOnly = isLocked;
  }

  act({ name }) {
    if (name === "leave") this.area.blur();
    if (name === "write") this.area.focus();
    return name === "leave" || name === "write";
  }

  #fit() {
    this.area.style.height = "auto";
    this.area.style.height = `${this.area.scrollHeight + 2}px`;
    const words = this.area.value.trim().split(/\s+/).filter(Boolean).length;
    this.count.textContent = words === 1 ? "1 word" : `${words} words`;
  }
}

export class Comparing {
  #history = [];

  constructor(task, { onChange }) {
    this.choice = null;
    this.onChange = onChange;
    this.allowTies = task.asks.ties;
    this.keys = task.completions.map(({ key }) => key);
    this.root = template("compare");
    paintPrompt(this.root.querySelector(".prompt"), task.prompt);
    this.cards = task.completions.map((completion) => paintCompletion(completion));
    this.root.querySelector(".completions").append(...this.cards);
    this.buttons = [...this.root.querySelectorAll("[data-choice]")];
    for (const button of this.buttons) {
      button.hidden = button.dataset.choice === "0" && !this.allowTies;
      button.addEventListener("click", () => this.#choose(Number(button.dataset.choice)));
    }
    this.#paint();
  }

  restore(content) {
    const [first, second] = this.keys.map((key) => content?.ranks?.[key]);
    if (first && second) this.choice = first === second ? 0 : first < second ? 1 : 2;
    this.#paint();
  }

  start() {
    document.getElementById("main").focus({ preventScroll: true });
  }

  get content() {
    return { ranks: this.answer?.ranks ?? {} };
  }

  get answer() {
    if (this.choice === null) return null;
    const ranks = { 0: [1, 1], 1: [1, 2], 2: [2, 1] }[this.choice];
    return { ranks: Object.fromEntries(this.keys.map((key, index) => [key, ranks[index]])) };
  }

  get lacking() {
    if (this.choice !== null) return "";
    return this.allowTies ? "Choose A, B or a tie" : "Choose A or B";
  }

  lock(isLocked) {
    for (const button of this.buttons) button.disabled = isLocked;
  }

  act({ name, choice }) {
    if (name === "choose") this.#choose(choice);
    if (name === "undo" && this.#history.length) {
      this.choice = this.#history.pop();
      this.#changed();
    }
    return name === "choose" || name === "undo";
  }

  #choose(choice) {
    if ((choice === 0 && !this.allowTies) || choice === this.choice) return;
    this.#history.push(this.choice);
    this.choice = choice;
    this.#changed();
  }

  #changed() {
    this.#paint();
    this.onChange();
  }

  #paint() {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.choice) === this.choice));
    this.cards.forEach((card, index) => {
      const isBetter = this.choice === index + 1;
      card.classList.toggle("is-placed", isBetter || this.choice === 0);
      card.querySelector(".placed").textContent = isBetter ? "better" : this.choice === 0 ? "tie" : "";
    });
  }
}

export function paintCompletion({ key, html }) {
  const card = template("old-completion").firstElementChild;
  card.dataset.key = key;
  card.setAttribute("aria-label", `Answer ${key.toUpperCase()}`);
  card.querySelector(".letter").append(element("span", "visually-hidden", "Answer "), key.toUpperCase());
  card.querySelector(".prose").innerHTML = html; // made harmless by the server (rlhf/render.py)
  return card;
}
