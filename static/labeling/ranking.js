// The ranks that a person has given so far. Pure state: no page. Rank 1 is best, equal ranks are ties.

export class Ranking {
  #history = [];

  constructor(keys, { allowTies, ranks = {} }) {
    this.keys = keys;
    this.allowTies = allowTies;
    this.ranks = new Map();
    for (const key of keys) {
      const rank = ranks[key];
      if (Number.isInteger(rank) && rank >= 1 && rank <= keys.length) this.ranks.set(key, rank);
    }
  }

  // Returns what stands in the way, or null. Without ties, a taken rank is swapped, never silently lost.
  place(key, rank) {
    if (!this.keys.includes(key) || rank < 1 || rank > this.keys.length) return `There are ranks 1 to ${this.keys.length}.`;
    const before = this.ranks.get(key);
    if (before === rank) return null;
    const holder = this.allowTies ? undefined : this.keys.find((other) => other !== key && this.ranks.get(other) === rank);
    if (holder !== undefined && before === undefined) {
      return `Rank ${rank} is taken by ${holder.toUpperCase()}, and this task takes no ties.`;
    }
    this.#remember();
    if (holder !== undefined) this.ranks.set(holder, before);
    this.ranks.set(key, rank);
    return null;
  }

  placeAll(ranks) {
    this.#remember();
    this.ranks = new Map(Object.entries(ranks));
  }

  clear(key) {
    if (!this.ranks.has(key)) return;
    this.#remember();
    this.ranks.delete(key);
  }

  undo() {
    if (this.#history.length === 0) return false;
    this.ranks = this.#history.pop();
    return true;
  }

  get missing() {
    return this.keys.filter((key) => !this.ranks.has(key));
  }

  get isComplete() {
    return this.missing.length === 0;
  }

  at(rank) {
    return this.keys.filter((key) => this.ranks.get(key) === rank);
  }

  isTied(key) {
    const rank = this.ranks.get(key);
    return rank !== undefined && this.at(rank).length > 1;
  }

  // The next key without a rank after `key`, going round; `key` itself when there is none.
  nextUnranked(key) {
    const start = this.keys.indexOf(key);
    const round = [...this.keys.slice(start + 1), ...this.keys.slice(0, start)];
    return round.find((other) => !this.ranks.has(other)) ?? key;
  }

  asGiven() {
    return Object.fromEntries(this.ranks);
  }

  // 1, 3, 3, 4 as a person may leave them become 1, 2, 2, 3: order and ties stay, gaps go.
  dense() {
    const used = [...new Set(this.ranks.values())].sort((a, b) => a - b);
    return Object.fromEntries(this.keys.map((key) => [key, used.indexOf(this.ranks.get(key)) + 1]));
  }

  #remember() {
    this.#history.push(new Map(this.ranks));
  }
}
