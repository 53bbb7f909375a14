// Which key means what. A key becomes a command; no command but `submit` sends anything, and it checks first.

const COMMANDS = {
  "?": "keys", s: "skip", g: "guidelines", u: "undo", // the page's
  d: "diff", y: "sync", r: "raw", // reading.js
  t: "tie", x: "all-bad", z: "take-back", e: "edit", i: "write", // panel.js
  Backspace: "clear", Delete: "clear", Escape: "leave",
}; // prettier-ignore
const MOVES = {
  ArrowDown: ["along", 1], j: ["along", 1], ArrowUp: ["along", -1], k: ["along", -1],
  ArrowRight: ["across", 1], ArrowLeft: ["across", -1],
}; // prettier-ignore

const HELD = ["along", "across", "page"]; // what a key that is held down goes on doing; a choice is made once for a press

export function command(event) {
  if (event.defaultPrevented || event.isComposing || event.altKey) return null;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return { name: "submit" };
  if (event.ctrlKey || event.metaKey) return null;
  if (isTyping(event.target)) return event.key === "Escape" ? { name: "leave" } : null;
  if (event.key === "Enter") return actsOnEnter(event.target) ? null : { name: "submit" };
  const found = choosing({ key: latin(event), shiftKey: event.shiftKey, target: event.target });
  return event.repeat && !HELD.includes(found?.name) ? null : found;
}

// The key by its letter where it has a Latin one, else by its place: in other scripts, with Caps Lock on, and on keyboards
// whose digits need Shift, the keys of this page are where they are elsewhere.
function latin({ key, code, shiftKey }) {
  if (!shiftKey && /^Digit[0-9]$/.test(code)) return code.at(-1);
  if (/^[a-z]$/i.test(key)) return shiftKey ? key.toUpperCase() : key.toLowerCase();
  if (key.length !== 1 || key <= "~") return key;
  if (code === "Slash" && shiftKey) return "?";
  const letter = /^Key([A-Z])$/.exec(code)?.[1] ?? key;
  return shiftKey ? letter : letter.toLowerCase();
}

function choosing({ key, shiftKey, target }) {
  if (/^[0-9=-]$/.test(key)) return { name: "digit", digit: key };
  if (/^[A-I]$/.test(key) && shiftKey) return { name: "mark", key: key.toLowerCase() };
  if (key === "PageDown" || key === "PageUp") return { name: "page", by: key === "PageDown" ? 1 : -1 };
  if (key.startsWith("Arrow") && target.matches?.(".prose")) return null; // it scrolls
  if (key in MOVES && !shiftKey) return { name: MOVES[key][0], by: inReadingOrder(key, target) };
  return key in COMMANDS ? { name: COMMANDS[key] } : null;
}

// In right-to-left text the arrow to the left goes on.
function inReadingOrder(key, target) {
  const [name, by] = MOVES[key];
  return name === "across" && getComputedStyle(target).direction === "rtl" ? -by : by;
}

function isTyping(target) {
  return target.matches?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])") ?? false;
}

// A choice is chosen by Space or its digit; Enter goes on, as everywhere.
function actsOnEnter(target) {
  return target.matches?.("button:not(.choice), a, summary") ?? false;
}
