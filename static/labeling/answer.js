// What a person has answered so far, and what is still missing. Pure state: no page. The content of a draft and the
// body of a submit have the same shape (docs/protocols.md), so an answer that comes back by undo is a draft too.

import { isTied, place, settle } from "./ranks.js";

const EMPTY = { ranks: {}, all_bad: false, strength: null, ratings: {}, flags: {}, safety: null, aspects: {}, reason: "", category: null, edited: null, text: "" };
const TEXTS = ["reason", "edited", "text"]; // taking a choice back leaves what was written

export class Answer {
  #history = [];

  constructor(task, { onChange, onRefused }) {
    Object.assign(this, { task, onChange, onRefused, asks: task.asks, kind: task.kind });
    this.keys = task.completions.map(({ key }) => key);
    this.isPair = this.keys.length === 2;
    this.isText = ["demonstrate", "prompt"].includes(task.kind);
    this.restore(null);
  }

  // A draft may be of an older shape, or cut short: what does not fit is left out.
  restore(content) {
    this.content = structuredClone(EMPTY);
    for (const name of Object.keys(EMPTY)) if (content?.[name] != null) this.content[name] = structuredClone(content[name]);
    this.content.ranks = this.#knownRanks(this.content.ranks);
    for (const [name, ranks] of Object.entries(this.content.aspects)) this.content.aspects[name] = this.#knownRanks(ranks);
    if (this.content.all_bad) this.content.ranks = Object.fromEntries(this.keys.map((key) => [key, 1]));
    this.#history = [];
  }

  #knownRanks(ranks) {
    const known = Object.entries(ranks).filter(([key, rank]) => this.keys.includes(key) && rank >= 1 && rank <= this.keys.length);
    return Object.fromEntries(known);
  }

  // Changes

  change(changes) {
    const before = JSON.stringify(this.content);
    const after = { ...this.content, ...changes };
    if (JSON.stringify(after) === before) return;
    if (!TEXTS.includes(Object.keys(changes)[0])) this.#history.push(before);
    this.content = after;
    this.onChange();
  }

  takeBack() {
    if (!this.#history.length) return;
    const texts = Object.fromEntries(TEXTS.map((name) => [name, this.content[name]]));
    this.content = { ...JSON.parse(this.#history.pop()), ...texts };
    this.onChange();
  }

  place(key, rank) {
    const current = this.content.all_bad ? {} : this.content.ranks;
    const { ranks, refusal } = place(current, key, rank, { keys: this.keys, allowTies: this.asks.ties });
    if (refusal) this.onRefused(refusal);
    else this.change({ ranks, all_bad: false });
    return !refusal;
  }

  clear(key) {
    const ranks = { ...this.content.ranks };
    delete ranks[key];
    this.change({ ranks, all_bad: false });
  }

  setAspect(name, ranks) {
    this.change({ aspects: { ...this.content.aspects, [name]: ranks } });
  }

  // Of a pair: which is better (0, 1, or null for a tie) and by how much.
  prefer(side, strength) {
    const ranks = side === null ? [1, 1] : side === 0 ? [1, 2] : [2, 1];
    const named = Object.fromEntries(this.keys.map((key, index) => [key, ranks[index]]));
    this.change({ ranks: named, strength, all_bad: false, ...this.#safetyFor(named) });
  }

  toggleAllBad() {
    if (this.content.all_bad) return this.change({ ranks: {}, strength: null, all_bad: false });
    const ranks = Object.fromEntries(this.keys.map((key) => [key, 1]));
    this.change({ ranks, strength: null, all_bad: true, ...this.#safetyFor(ranks) });
  }

  #safetyFor(ranks) {
    return this.content.safety === "chosen" && isTied(ranks, this.keys) ? { safety: null } : {};
  }

  rate(key, value) {
    this.change({ ratings: { ...this.content.ratings, [key]: value } });
  }

  toggleFlag(key, name) {
    const given = this.content.flags[key] ?? [];
    const flags = given.includes(name) ? given.filter((other) => other !== name) : [...given, name];
    this.change({ flags: { ...this.content.flags, [key]: flags } });
  }

  // Reading

  get isTied() {
    return isTied(this.content.ranks, this.keys);
  }

  get best() {
    const { ranks } = this.content;
    const first = Math.min(...this.keys.map((key) => ranks[key] ?? Infinity));
    return this.keys.filter((key) => ranks[key] === first);
  }

  textOf(key) {
    return this.task.completions.find((completion) => completion.key === key)?.text ?? "";
  }

  get isEdited() {
    const { edited } = this.content;
    return Boolean(edited) && edited.text.trim() !== this.textOf(edited.key).trim();
  }

  // What is sent: only what is asked, ranks without gaps.
  get body() {
    const { asks, content } = this;
    const body = {};
    if (this.isText) body.text = content.text;
    else body.ranks = settle(content.ranks, this.keys);
    if (content.all_bad) body.all_bad = true;
    if (asks.strength && this.isPair && !this.isTied) body.strength = content.strength;
    if (asks.strength?.scale === "seven" && this.isPair && this.isTied) body.strength = 0;
    if (asks.rating) body.ratings = content.ratings;
    if (asks.flags.length) body.flags = Object.fromEntries(this.keys.map((key) => [key, content.flags[key] ?? []]));
    if (asks.pair_safety) body.safety = content.safety;
    if (asks.aspects.length) body.aspects = Object.fromEntries(asks.aspects.map(({ name }) => [name, settle(content.aspects[name] ?? {}, this.keys)]));
    if (asks.reason && content.reason.trim()) body.reason = content.reason;
    if (asks.categories.length) body.category = content.category;
    if (asks.edit && this.isEdited) body.edited = content.edited;
    return body;
  }
}
