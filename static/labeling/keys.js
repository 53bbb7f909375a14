// Which key means what. A key becomes a command; no command but `submit` sends anything, and it checks first.

const MOVES = { ArrowDown: 1, ArrowRight: 1, j: 1, ArrowUp: -1, ArrowLeft: -1, k: -1 };
const LETTERS = "abcdefhi"; // g opens the guidelines; a seventh answer is reached by arrows

export function command(event, kind) {
  if (event.defaultPrevented || event.isComposing || event.altKey) return null;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return { name: "submit" };
  if (event.ctrlKey || event.metaKey) return null;
  if (isTyping(event.target)) return event.key === "Escape" ? { name: "leave" } : null;
  if (event.key === "Enter") return actsOnEnter(event.target) || kind === "demonstrate" ? null : { name: "submit" };
  return shared(event.key) ?? (kind === "rank" ? ranking(event) : kind === "compare" ? comparing(event.key) : writing(event.key));
}

function shared(key) {
  return { "?": { name: "keys" }, s: { name: "skip" }, g: { name: "guidelines" }, Escape: { name: "escape" } }[key] ?? null;
}

function ranking({ key, shiftKey }) {
  if (/^[1-9]$/.test(key)) return { name: "place", rank: Number(key) };
  if (key in MOVES) return { name: "move", by: MOVES[key] };
  if (key === "0" || key === "Backspace" || key === "Delete") return { name: "clear" };
  if (key === "z") return { name: "undo" };
  return !shiftKey && key.length === 1 && LETTERS.includes(key) ? { name: "focus", key } : null;
}

function comparing(key) {
  if (key === "1" || key === "2") return { name: "choose", choice: Number(key) };
  if (key === "0" || key === "t") return { name: "choose", choice: 0 };
  return key === "z" ? { name: "undo" } : null;
}

function writing(key) {
  return key === "i" ? { name: "write" } : null;
}

function isTyping(target) {
  return target.matches?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])") ?? false;
}

function actsOnEnter(target) {
  return target.matches?.("button, a, summary") ?? false;
}
