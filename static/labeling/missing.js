// What an answer still lacks, in the order in which it is asked: [{zone, key, text}].

import { missing as unranked } from "./ranks.js";

export function missing(answer) {
  const { asks, content } = answer;
  const found = answer.isText ? text(answer) : [...ratings(answer), ...ranks(answer), ...aspects(answer), ...edited(answer)];
  if (asks.pair_safety && !content.safety) found.push({ zone: "safety", text: gettext("Say which answers are safe") });
  if (asks.categories.length && !content.category) found.push({ zone: "category", text: gettext("Choose a category") });
  return [...found, ...reason(answer)];
}

export function numCharacters(written) {
  return [...written.trim()].length;
}

function text({ content, kind }) {
  if (content.text.trim()) return [];
  return [{ zone: "text", text: kind === "prompt" ? gettext("Write a prompt") : gettext("Write the answer") }];
}

function ratings({ asks, content, keys }) {
  if (!asks.rating) return [];
  return keys.filter((key) => !content.ratings[key]).map((key) => ({ zone: "rating", key, text: interpolate(gettext("Rate answer %s"), [key.toUpperCase()]) }));
}

function ranks(answer) {
  const { asks, content, keys } = answer;
  const left = unranked(content.ranks, keys);
  if (!answer.isPair) {
    if (!left.length) return [];
    const words = gettext("%(done)s of %(all)s ranked; %(left)s to go");
    const text = interpolate(words, { done: keys.length - left.length, all: keys.length, left: left.map((key) => key.toUpperCase()).join(", ") }, true);
    return [{ zone: "rank", key: left[0], text }];
  }
  if (left.length) return [{ zone: "scale", text: gettext("Say which answer is better") }];
  const isUnsaid = asks.strength && !answer.isTied && content.strength === null;
  return isUnsaid ? [{ zone: "scale", text: gettext("Say how much better it is") }] : [];
}

function aspects({ asks, content, keys }) {
  return asks.aspects
    .map(({ name, label }) => ({ name, label, left: unranked(content.aspects[name] ?? {}, keys) }))
    .filter(({ left }) => left.length)
    .map(({ name, label }) => ({ zone: `aspect-${name}`, text: interpolate(gettext("Compare the answers: %s"), [label]) }));
}

function edited(answer) {
  const { edited: edit } = answer.content;
  if (!answer.isEdited) return [];
  const letter = edit.key.toUpperCase();
  if (!edit.text.trim()) return [{ zone: "edit", key: edit.key, text: interpolate(gettext("Your edit of %s is empty"), [letter]) }];
  if (answer.best.includes(edit.key)) return [];
  return [{ zone: "edit", key: edit.key, text: interpolate(gettext("You edited %s, which is not the best: rank it first or put the original back"), [letter]) }];
}

function reason({ asks, content }) {
  const least = asks.reason?.min_characters ?? 0;
  const left = least - numCharacters(content.reason);
  if (left <= 0) return [];
  const words = ngettext("The reason needs %s more character", "The reason needs %s more characters", left);
  return [{ zone: "reason", text: interpolate(words, [left]) }];
}
