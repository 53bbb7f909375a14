// Ranking three answers or more: a row of ranks in each card, and a tray between whose ranks letters are dragged
// (SortableJS).

import { Choices } from "./choices.js";
import { element, template } from "./elements.js";
import { isTiedWithAnother, nextUnranked } from "./ranks.js";

export class Board {
  constructor({ answer, zones, cards, onMark }) {
    Object.assign(this, { answer, cards, onMark });
    this.ordinals = ordinals();
    this.rows = new Map([...cards].map(([key, card]) => [key, this.#ranksIn(card, key)]));
    for (const [key, card] of cards) this.#asZone(zones, card, key);
    this.root = template("tray").firstElementChild;
    this.#paintTray();
  }

  lock(isLocked) {
    for (const sortable of this.sortables) sortable.option("disabled", isLocked);
    for (const row of this.rows.values()) row.lock(isLocked);
  }

  // A card itself is where the ranking takes keys; questions inside it take theirs first.
  #asZone(zones, card, key) {
    card.tabIndex = -1;
    zones.add(card, {
      zone: "rank",
      key,
      act: (command) => this.act(command, key),
      focus: () => card.focus({ preventScroll: true }),
      after: () => ({ zone: "rank", key: nextUnranked(this.answer.content.ranks, this.answer.keys, key) }),
    });
  }

  act({ name, digit }, key) {
    if (name === "digit" && /^[1-9]$/.test(digit)) return this.answer.place(key, Number(digit)) ? "done" : "stay";
    if (name !== "clear" && digit !== "0") return "";
    this.answer.clear(key);
    return "stay";
  }

  #ranksIn(card, key) {
    const { answer } = this;
    const label = interpolate(gettext("Rank of answer %s"), [key.toUpperCase()]);
    const options = answer.keys.map((_, index) => ({ value: index + 1, label: String(index + 1) }));
    const choices = new Choices({ label, options, showsKeys: false, onPick: (rank) => answer.place(key, rank) });
    const row = element("div", "ask-row rank-buttons");
    row.append(element("span", "ask-label", gettext("Rank")), choices.root);
    card.querySelector(".answering").append(row);
    return choices;
  }

  #paintTray() {
    const rows = this.root.querySelector(".rank-rows");
    this.answer.keys.forEach((_, index) => {
      const row = template("rank-row").firstElementChild;
      row.querySelector(".rank-number").textContent = this.ordinals[index + 1];
      row.querySelector(".chips").dataset.rank = index + 1;
      rows.append(row);
    });
    this.lists = [...this.root.querySelectorAll(".chips")];
    this.chips = new Map(this.answer.keys.map((key) => [key, this.#chip(key)]));
    const options = { group: "ranks", animation: 0, delay: 80, delayOnTouchOnly: true, onEnd: (event) => this.#dropped(event) };
    this.sortables = this.lists.map((list) => Sortable.create(list, options));
  }

  #chip(key) {
    const chip = template("chip").firstElementChild;
    chip.textContent = key.toUpperCase();
    chip.dataset.key = key;
    chip.addEventListener("click", () => this.onMark(key));
    return chip;
  }

  #dropped({ item, to }) {
    const { key } = item.dataset;
    if (to.dataset.rank === "") this.answer.clear(key);
    else this.answer.place(key, Number(to.dataset.rank));
    this.paint();
  }

  paint() {
    const ranks = this.answer.content.ranks;
    for (const [key, card] of this.cards) {
      const rank = ranks[key];
      this.rows.get(key).paint(rank);
      card.classList.toggle("is-placed", rank !== undefined);
      card.querySelector(".placed").textContent = this.#placed(key, rank, ranks);
      const list = this.lists.find((other) => other.dataset.rank === String(rank ?? ""));
      if (this.chips.get(key).parentElement !== list) list.append(this.chips.get(key));
    }
  }

  #placed(key, rank, ranks) {
    if (rank === undefined) return "";
    return isTiedWithAnother(ranks, key) ? interpolate(gettext("%s, tied"), [this.ordinals[rank]]) : this.ordinals[rank];
  }

  mark(key) {
    for (const [other, chip] of this.chips) chip.classList.toggle("is-current", other === key);
    for (const [other, card] of this.cards) card.tabIndex = other === key ? 0 : -1;
  }
}

function ordinals() {
  return ["", gettext("1st"), gettext("2nd"), gettext("3rd"), gettext("4th"), gettext("5th"), gettext("6th"), gettext("7th"), gettext("8th"), gettext("9th")];
}
