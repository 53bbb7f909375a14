// The keys of exactly this task, as `?` lists them: [[keys, meaning]].

export function keysOf(task) {
  const shown = task ? [...answering(task), ...reading(task)] : [];
  return [...shown, ...everywhere(task)];
}

function answering({ kind, asks, completions }) {
  const num = completions.length;
  const rows = [];
  if (["demonstrate", "prompt"].includes(kind)) {
    rows.push([["Esc"], gettext("leave the text, so that the other keys work")], [["i"], gettext("go back into the text")]);
  } else if (num === 2) rows.push(...ofPair(asks));
  else rows.push(...ofRanking(num, asks));
  if (asks.rating) rows.push([["1", "…", "7"], gettext("on a quality row: rate that answer and go on to its flags")]);
  if (asks.flags.length) rows.push([["1", "…"], gettext("on a row of flags: raise or lower that flag")]);
  if (asks.all_bad) rows.push([["x"], num === 2 ? gettext("both are bad") : gettext("all are bad")]);
  if (asks.edit) rows.push([["e"], gettext("edit the best answer; Esc leaves the text")]);
  if (num) rows.push([["z"], gettext("take the last choice back; what you wrote stays")]);
  rows.push([["Tab"], gettext("next question")], [["←", "→"], gettext("along the choices of a question; Space chooses")]);
  return rows;
}

function ofPair({ strength, ties, pair_safety: safety, aspects, categories }) {
  const rows = [];
  const num = strength ? strength.levels.filter(({ value }) => value > 0).length : 1;
  const offset = strength?.scale === "seven" ? 1 : 0;
  if (strength) {
    rows.push([["1", "…", String(num)], gettext("A is better, from most to least")]);
    rows.push([[String(num + offset + 1), "…", String(2 * num + offset)], gettext("B is better, from least to most")]);
    if (ties) rows.push([offset ? [String(num + 1), "0", "t"] : ["0", "t"], gettext("tie")]);
  } else {
    rows.push([["1"], gettext("A is better")], [["2"], gettext("B is better")]);
    if (ties) rows.push([["0", "t"], gettext("tie")]);
  }
  if (safety || aspects.length || categories.length) rows.push([["1", "…"], gettext("on another question: choose that answer to it")]);
  return rows;
}

function ofRanking(num, { ties }) {
  const place = gettext("rank the marked answer and go to the next one without a rank");
  const tied = gettext("rank the marked answer and go to the next one without a rank; the same digit twice is a tie");
  return [
    [["1", "…", String(num)], ties ? tied : place],
    [["↑", "↓", "k", "j"], gettext("mark the answer before or after")],
    [["Shift A", "…", `Shift ${"ABCDEFGHI"[num - 1]}`], gettext("mark the answer of that letter")],
    [["0", "Backspace"], gettext("take the marked answer's rank away")],
  ];
}

function reading({ completions }) {
  const rows = [[["r"], gettext("show the text as it was written, or laid out")]];
  if (completions.length > 1) rows.push([["d"], gettext("mark the words in which answers differ")], [["y"], gettext("scroll answers together, or each alone")]);
  return rows;
}

function everywhere(task) {
  const rows = [
    [["g"], gettext("show or hide the guidelines")],
    [["u"], gettext("go back to your last answer and change it")],
    [["?"], gettext("this list")],
  ];
  if (!task) return rows;
  const isText = ["demonstrate", "prompt"].includes(task.kind);
  const send = isText ? [["Ctrl Enter"], gettext("submit")] : [["Enter"], gettext("go to what is missing; submit once nothing is")];
  const fromText = isText ? [] : [[["Ctrl Enter"], gettext("the same, from a text too")]];
  return [send, ...fromText, [["s"], gettext("skip, with a reason (asks first)")], ...rows];
}
