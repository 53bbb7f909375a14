// How a task is read: the prompt and the answers, rendered or raw, their differences marked, scrolled together. `cards`
// has an article for each answer; whoever asks about an answer puts the question into the card's `.answering`.

import { markDifferences } from "./diff.js";
import { element, template } from "./elements.js";
import { Panes } from "./scroll.js";

export class Reading {
  constructor(task) {
    this.keys = task.completions.map(({ key }) => key);
    this.current = this.keys[0];
    this.ranks = {}; // set by whoever ranks: differences are shown to the answer that stands before
    this.onCurrent = null; // called with a key when a person picks an answer by its tab
    this.isRaw = this.isMarked = false;
    this.marked = [];
    this.root = template("reading").firstElementChild;
    this.texts = paintPrompt(this.#part(".prompt"), task.prompt);
    this.cards = new Map(task.completions.map((completion) => [completion.key, this.#card(completion)]));
    this.tabs = new Map(this.keys.map((key) => [key, this.#tab(key)]));
    this.#paintAnswers(this.#part(".completions"));
    this.#listen();
    this.panes = new Panes(this.keys.map((key) => this.#pane(key)), { onMeasured: () => this.#paintTools() });
    if (this.keys.length) this.mark(this.current);
    this.#paintTools();
  }

  // A command of keys.js; true where it was one of ours and something came of it.
  act({ name, by }) {
    const commands = { diff: () => this.toggleDiff(), raw: () => this.toggleRaw(), sync: () => this.toggleSync(), page: () => this.#page(by) };
    return commands[name]?.() ?? false;
  }

  // The answer that a person is at; on a phone it is the one that shows.
  mark(key) {
    this.current = key;
    for (const [other, card] of this.cards) {
      card.classList.toggle("is-current", other === key);
      this.tabs.get(other).setAttribute("aria-selected", String(other === key));
    }
    if (this.isMarked && String(this.#pair()) !== String(this.marked)) this.#paint();
  }

  toggleRaw() {
    this.isRaw = !this.isRaw;
    this.#paint();
    return true;
  }

  toggleDiff() {
    if (this.keys.length < 2) return false;
    this.isMarked = !this.isMarked;
    this.#paint();
    return true;
  }

  toggleSync() {
    if (!this.panes.canGoTogether) return false;
    this.panes.toggle(this.#pane(this.current));
    this.#paintTools();
    return true;
  }

  close() {
    this.panes.close();
  }

  #part(selector) {
    return this.root.querySelector(selector);
  }

  #pane(key) {
    return this.cards.get(key).querySelector(".prose");
  }

  #page(by) {
    return this.keys.length > 0 && this.panes.page(this.#pane(this.current), by);
  }

  #listen() {
    for (const [name, act] of Object.entries({ diff: () => this.toggleDiff(), raw: () => this.toggleRaw(), sync: () => this.toggleSync() })) {
      this.#part(`.show-${name}`).addEventListener("click", act);
    }
  }

  #card({ key, html, text }) {
    const card = template("completion").firstElementChild;
    const place = card.querySelector(".prose");
    const name = interpolate(gettext("Answer %s"), [key.toUpperCase()]);
    card.dataset.key = key;
    card.id = `answer-${key}`;
    card.setAttribute("aria-label", name);
    place.setAttribute("aria-label", interpolate(gettext("Text of answer %s"), [key.toUpperCase()]));
    card.querySelector(".letter").append(element("span", "visually-hidden", name), element("span", "", key.toUpperCase()));
    card.querySelector(".letter").lastChild.ariaHidden = "true";
    this.texts.push({ key, place, html, text });
    show(this.texts.at(-1), false);
    return card;
  }

  #tab(key) {
    const tab = element("button", "", key.toUpperCase());
    Object.assign(tab, { type: "button", role: "tab", id: `tab-${key}` });
    tab.setAttribute("aria-label", interpolate(gettext("Answer %s"), [key.toUpperCase()]));
    tab.setAttribute("aria-controls", `answer-${key}`);
    tab.addEventListener("click", () => {
      this.mark(key);
      this.onCurrent?.(key);
    });
    return tab;
  }

  #paintAnswers(place) {
    place.classList.toggle("pair", this.keys.length === 2);
    place.hidden = this.keys.length === 0;
    place.append(...this.cards.values());
    this.#part(".answer-tabs").append(...this.tabs.values());
    this.#part(".answer-tabs").hidden = this.keys.length < 2;
  }

  // The two answers whose differences show, in the order on screen: the current one and the one that a person chose,
  // or that stands before it in the ranking, or beside it.
  #pair() {
    const others = this.keys.filter((key) => key !== this.current);
    const before = others.filter((key) => this.ranks[key] <= this.ranks[this.current]).sort((a, b) => this.ranks[b] - this.ranks[a]);
    const beside = this.keys[this.keys.indexOf(this.current) - 1] ?? others[0];
    const other = others.includes(this.chosen) ? this.chosen : (before[0] ?? beside);
    return this.keys.filter((key) => key === this.current || key === other);
  }

  // Only what changes is painted again: a long text takes its time.
  #paint() {
    this.marked = this.isMarked ? this.#pair() : [];
    for (const text of this.texts) {
      if (text.isMarked || text.isRaw !== this.isRaw) showAgain(text, this.isRaw);
      text.isMarked = this.marked.includes(text.key);
    }
    if (this.isMarked) markDifferences(...this.marked.map((key) => this.#pane(key)));
    for (const [key, card] of this.cards) card.classList.toggle("is-compared", this.keys.length > 2 && this.marked.includes(key));
    this.panes.measure();
  }

  #paintTools() {
    press(this.#part(".show-raw"), this.isRaw);
    press(this.#part(".show-diff"), this.isMarked);
    press(this.#part(".show-sync"), this.panes.isTogether);
    this.#part(".show-raw").hidden = this.texts.length === 0; // who writes a prompt has nothing to read
    this.#part(".show-diff").hidden = this.keys.length < 2;
    this.#part(".show-sync").hidden = !this.panes.canGoTogether;
    this.#part(".legend").hidden = !this.isMarked;
    if (this.isMarked) this.#paintLegend(this.marked);
  }

  #paintLegend([first, second]) {
    const only = (key) => interpolate(gettext("only in %s"), [key.toUpperCase()]);
    this.#part(".legend").replaceChildren(element("del", "", only(first)), " ", element("ins", "", only(second)), ...this.#choices());
  }

  // With more than two answers: which of them the current one is compared with.
  #choices() {
    if (this.keys.length === 2) return [];
    const others = this.keys.filter((key) => key !== this.current);
    const label = interpolate(gettext("%s against"), [this.current.toUpperCase()]);
    return [element("span", "", label), ...others.map((key) => this.#choice(key))];
  }

  #choice(key) {
    const choice = element("button", "", key.toUpperCase());
    choice.type = "button";
    press(choice, this.marked.includes(key));
    choice.addEventListener("click", () => {
      this.chosen = key;
      this.#paint();
      this.#part(".legend button[aria-pressed=true]")?.focus();
    });
    return choice;
  }
}

function paintPrompt(place, messages) {
  const roles = { system: gettext("Instructions to the assistant"), user: gettext("Person"), assistant: gettext("Assistant") };
  place.hidden = messages.length === 0;
  return messages.map(({ role, html, content }) => {
    const message = template("message").firstElementChild;
    message.classList.add(`from-${role}`);
    message.querySelector(".role").textContent = messages.length === 1 ? gettext("Prompt") : (roles[role] ?? role);
    place.append(message);
    const text = { place: message.querySelector(".prose"), html, text: content };
    show(text, false);
    return text;
  });
}

function show(text, isRaw) {
  text.isRaw = isRaw;
  if (isRaw) text.place.replaceChildren(rawText(text.text));
  else text.place.innerHTML = text.html; // made harmless by the server (rlhf/render.py)
}

// The place that was read stays about where it was.
function showAgain(text, isRaw) {
  const { place } = text;
  const share = place.scrollTop / place.scrollHeight;
  show(text, isRaw);
  if (share > 0) place.scrollTop = share * place.scrollHeight;
}

function rawText(text) {
  const raw = element("pre", "plain", text);
  raw.dir = "auto";
  return raw;
}

function press(button, isPressed) {
  button.setAttribute("aria-pressed", String(isPressed));
}
