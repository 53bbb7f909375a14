// Ranks by key: 1 is best, equal ranks are ties. Pure functions.

// {ranks} after the change, or {refusal}. Without ties a taken rank is swapped, never silently lost.
export function place(ranks, key, rank, { keys, allowTies }) {
  if (!keys.includes(key) || rank < 1 || rank > keys.length) {
    return { refusal: interpolate(gettext("There are ranks 1 to %s."), [keys.length]) };
  }
  const before = ranks[key];
  const holder = allowTies ? undefined : keys.find((other) => other !== key && ranks[other] === rank);
  if (holder !== undefined && before === undefined) {
    const words = gettext("Rank %(rank)s is taken by %(answer)s, and this task takes no ties.");
    return { refusal: interpolate(words, { rank, answer: holder.toUpperCase() }, true) };
  }
  return { ranks: { ...ranks, ...(holder === undefined ? {} : { [holder]: before }), [key]: rank } };
}

export function missing(ranks, keys) {
  return keys.filter((key) => ranks[key] === undefined);
}

// The next key without a rank after `key`, going round; `key` itself when there is none.
export function nextUnranked(ranks, keys, key) {
  const start = keys.indexOf(key);
  return [...keys.slice(start + 1), ...keys.slice(0, start)].find((other) => ranks[other] === undefined) ?? key;
}

export function isTiedWithAnother(ranks, key) {
  return ranks[key] !== undefined && Object.entries(ranks).some(([other, rank]) => other !== key && rank === ranks[key]);
}

export function isTied(ranks, keys) {
  return missing(ranks, keys).length === 0 && new Set(Object.values(ranks)).size === 1;
}

// 1, 3, 3, 4 as a person may leave them become 1, 2, 2, 3: order and ties stay, gaps go.
export function settle(ranks, keys) {
  const used = [...new Set(keys.map((key) => ranks[key]))].sort((a, b) => a - b);
  return Object.fromEntries(keys.map((key) => [key, used.indexOf(ranks[key]) + 1]));
}
