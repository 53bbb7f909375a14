// Everything that one task is answered with, made from what its protocol asks (`asks`), and which key goes where.

import { Answer } from "./answer.js";
import { Board } from "./board.js";
import { Edit } from "./edit.js";
import { element } from "./elements.js";
import { missing } from "./missing.js";
import { Questions } from "./questions.js";
import { allBadButton, Scale } from "./scale.js";
import { Sheet } from "./sheet.js";
import { Writing } from "./writing.js";
import { Zones } from "./zones.js";

export class Panel {
  constructor(task, reading, { onChange, onRefused }) {
    Object.assign(this, { task, reading, onChange, onRefused, isTouched: false });
    this.answer = new Answer(task, { onChange: () => this.#changed(), onRefused });
    this.zones = new Zones();
    this.cards = reading.cards;
    this.current = this.answer.keys[0] ?? null;
    this.parts = [];
    this.root = element("div", `work kind-${task.kind}`);
    this.root.append(reading.root);
    reading.onCurrent = (key) => this.#goTo(key);
    this.#make();
    this.root.addEventListener("focusin", (event) => this.#entered(event.target));
    this.root.addEventListener("focusout", (event) => this.#left(event));
    this.restore(null);
  }

  #make() {
    const { answer, zones, cards } = this;
    const context = { answer, zones, cards, onRefused: this.onRefused, onMark: (key) => this.#go({ zone: "rank", key }) };
    if (answer.isText) this.#add(new Writing(context));
    else this.#add(new Sheet(context));
    if (answer.isPair) this.scale = this.#add(new Scale(context));
    else if (!answer.isText) this.board = this.#add(new Board(context));
    if (answer.asks.all_bad) this.#addAllBad();
    if (answer.asks.edit) this.edit = this.#add(new Edit(context));
    this.#add(new Questions(context));
    this.root.classList.toggle("has-tray", Boolean(this.board));
  }

  #add(part) {
    this.parts.push(part);
    if (part.root) this.root.append(part.root);
    return part;
  }

  #addAllBad() {
    const button = allBadButton(this.answer);
    button.addEventListener("click", () => this.isLocked || this.answer.toggleAllBad());
    const place = this.scale ? this.scale.root : this.board.root;
    place.append(button);
    this.parts.push({
      paint: () => button.setAttribute("aria-pressed", String(this.answer.content.all_bad)),
    });
  }

  restore(content) {
    this.answer.restore(content);
    for (const part of this.parts) part.restored?.();
    this.#paint();
    this.isTouched = false;
  }

  // Texts know their height only once they are on the page.
  laidOut() {
    for (const part of this.parts) part.laidOut?.();
    this.#paint();
  }

  // Where the person begins: at what is missing, or at the first answer.
  start() {
    if (this.missing.length) this.#go(this.missing[0], { scrolls: false });
    else this.#go(this.board ? { zone: "rank", key: this.answer.keys[0] } : { zone: this.scale ? "scale" : "text" }, { scrolls: false });
    scrollTo(0, 0); // the focus may scroll down; a task is read from its top
  }

  get missing() {
    return missing(this.answer);
  }

  get content() {
    return this.answer.content;
  }

  get body() {
    return this.answer.body;
  }

  goToMissing() {
    if (this.missing.length) this.#go(this.missing[0]);
  }

  lock(isLocked) {
    this.isLocked = isLocked;
    for (const part of this.parts) part.lock?.(isLocked);
    if (!isLocked) this.#paint();
  }

  // A command of keys.js; true where it meant something here.
  act(command, target) {
    if (this.isLocked) return false;
    const zone = this.zones.at(target) ?? this.#home();
    const result = zone?.act(command) ?? "";
    if (result === "done") this.#goOn(zone, command);
    return Boolean(result) || this.#shared(command, zone);
  }

  // Where keys go while no question has the focus.
  #home() {
    if (this.scale) return this.zones.find("scale");
    return this.board ? this.zones.find("rank", this.current) : null;
  }

  #goOn(zone, command) {
    const next = zone.after?.(command) ?? this.missing[0];
    if (next) this.#go(next);
  }

  #shared({ name, by, key }, zone) {
    const { answer } = this;
    const commands = {
      along: () => zone && (zone.zone !== "scale" || this.zones.at(document.activeElement)) && this.#goBeside(zone, by),
      across: () => zone?.zone === "rank" && this.#goBeside(zone, by),
      mark: () => answer.keys.includes(key) && this.#goTo(key, zone),
      tie: () => this.scale?.act({ name }),
      "all-bad": () => answer.asks.all_bad && (answer.toggleAllBad(), true),
      "take-back": () => !answer.isText && (answer.takeBack(), true),
      edit: () => this.edit && (this.edit.begin(this.current), true),
      write: () => answer.isText && this.#go({ zone: "text" }),
      leave: () => this.#leaveText(),
    };
    return Boolean(commands[name]?.());
  }

  #goBeside(zone, by) {
    const next = this.zones.beside(zone, by);
    return next ? this.#go(next) : false;
  }

  #goTo(key, zone) {
    const same = zone?.key ? zone.zone : this.board ? "rank" : "rating";
    this.#enter(key);
    return this.zones.find(same, key) ? this.#go({ zone: same, key }) : true;
  }

  // Escape from a text: the focus goes to a place that can be seen and where keys choose again.
  #leaveText() {
    const card = document.activeElement.closest?.(".completion");
    if (this.board) return this.#go({ zone: "rank", key: card?.dataset.key ?? this.current });
    if (this.scale) return this.#go({ zone: "scale" });
    this.root.tabIndex = -1;
    this.root.focus({ preventScroll: true });
    return true;
  }

  #go({ zone, key = null }, { scrolls = true } = {}) {
    const found = this.zones.find(zone, key);
    if (!found) return false;
    if (key) this.#enter(key);
    found.focus();
    if (scrolls) found.element.scrollIntoView({ block: "nearest" });
    return true;
  }

  #entered(target) {
    const key = target.closest(".completion")?.dataset.key;
    if (key && key !== this.current) this.#enter(key);
  }

  #left({ target, relatedTarget }) {
    if (this.edit && target.matches("textarea") && !target.closest("[data-zone]")?.contains(relatedTarget)) this.edit.leave();
  }

  #enter(key) {
    this.current = key;
    this.reading.mark(key);
    this.board?.mark(key);
  }

  #changed() {
    this.isTouched = true;
    this.#paint();
    this.onChange();
  }

  #paint() {
    this.reading.ranks = this.answer.content.ranks;
    for (const part of this.parts) part.paint?.();
    if (this.current && this.board) this.#enter(this.current);
  }
}
