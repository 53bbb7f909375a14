// An answer, or the draft of one, in words, to be read and copied: what was written comes first.

export function answerAsText(answer, asks) {
  if (!answer) return "";
  return [answer.text, answer.edited && edited(answer.edited), answer.reason, ...choices(answer, asks)].filter(Boolean).join("\n");
}

function edited({ key, text }) {
  return line(interpolate(gettext("Your edit of answer %s"), [key.toUpperCase()]), text);
}

function choices(answer, asks) {
  const safety = { chosen: gettext("Only the better one is safe"), both: gettext("Both are safe"), neither: gettext("Neither is safe") };
  const level = asks?.strength?.levels.find(({ value }) => value === answer.strength);
  return [
    answer.all_bad ? gettext("None of the answers will do") : line(gettext("Ranks"), byKey(answer.ranks)),
    line(gettext("Strength"), level?.label ?? answer.strength),
    line(gettext("Quality"), byKey(answer.ratings)),
    ...Object.entries(answer.flags ?? {}).map(([key, names]) => flags(key, names, asks)),
    ...Object.entries(answer.aspects ?? {}).map(([name, ranks]) => line(labelOf(asks?.aspects, name), byKey(ranks))),
    line(gettext("Safety"), safety[answer.safety]),
    line(gettext("Category"), answer.category && labelOf(asks?.categories, answer.category)),
  ];
}

function flags(key, names, asks) {
  return line(interpolate(gettext("Flags of %s"), [key.toUpperCase()]), names.map((name) => labelOf(asks?.flags, name)).join(", "));
}

function line(name, value) {
  if (value == null || value === "") return "";
  return interpolate(gettext("%(name)s: %(value)s"), { name, value }, true);
}

function byKey(given) {
  return Object.entries(given ?? {}).map(([key, value]) => `${key.toUpperCase()} ${value}`).join(" · ");
}

function labelOf(choices, name) {
  return choices?.find((choice) => choice.name === name)?.label ?? name;
}
