// An answer in words, for a notice: what was sent or is stored, to be read and copied.

export function answerAsText(answer, asks) {
  if (!answer) return "";
  if (typeof answer.text === "string") return [answer.text, ...facts(answer, asks)].join("\n");
  return [...ranks(answer), ...facts(answer, asks)].join("\n");
}

function ranks({ ranks: given, all_bad: allBad }) {
  if (allBad) return [gettext("None of the answers will do")];
  return given ? [line(gettext("Ranks"), byKey(given))] : [];
}

function facts(answer, asks) {
  const lines = [];
  const level = asks?.strength?.levels.find(({ value }) => value === answer.strength);
  if (answer.strength != null) lines.push(line(gettext("Strength"), level?.label ?? answer.strength));
  if (answer.ratings) lines.push(line(gettext("Quality"), byKey(answer.ratings)));
  for (const [key, names] of Object.entries(answer.flags ?? {})) {
    if (names.length) lines.push(line(interpolate(gettext("Flags of %s"), [key.toUpperCase()]), names.map((name) => labelOf(asks?.flags, name)).join(", ")));
  }
  for (const [name, given] of Object.entries(answer.aspects ?? {})) lines.push(line(labelOf(asks?.aspects, name), byKey(given)));
  if (answer.safety) lines.push(line(gettext("Safety"), { chosen: gettext("Only the better one is safe"), both: gettext("Both are safe"), neither: gettext("Neither is safe") }[answer.safety]));
  if (answer.category) lines.push(line(gettext("Category"), labelOf(asks?.categories, answer.category)));
  if (answer.reason) lines.push(line(gettext("Reason"), answer.reason));
  if (answer.edited) lines.push(`${interpolate(gettext("Your edit of answer %s"), [answer.edited.key.toUpperCase()])}\n${answer.edited.text}`);
  return lines;
}

function line(name, value) {
  return interpolate(gettext("%(name)s: %(value)s"), { name, value }, true);
}

function byKey(given) {
  return Object.entries(given).map(([key, value]) => `${key.toUpperCase()} ${value}`).join(" · ");
}

function labelOf(choices, name) {
  return choices?.find((choice) => choice.name === name)?.label ?? name;
}
