// What a person is told when something did not go as meant: what happened, that nothing is lost, what to do.

import { element } from "./elements.js";

export class Notices {
  constructor(place, announcer) {
    this.place = place;
    this.announcer = announcer;
  }

  clear() {
    this.place.replaceChildren();
  }

  // Said to screen readers only; the page shows it by itself.
  announce(text) {
    this.announcer.textContent = text;
  }

  // takesFocus: not where it comes while a person types, whose next key would press a button.
  show({ title, text, quotes = [], actions = [], takesFocus = true }) {
    const notice = element("section", "notice notice-warm");
    notice.setAttribute("role", "alert");
    notice.append(element("h2", "", title), element("p", "", text));
    for (const quote of quotes) notice.append(element("h3", "", quote.title), quoted(quote.text));
    const row = element("div", "actions");
    row.append(...actions.map(button));
    notice.append(row);
    this.place.replaceChildren(notice);
    if (!takesFocus) return;
    notice.scrollIntoView({ block: "nearest" });
    row.querySelector("button.primary, a.primary")?.focus();
  }
}

function quoted(text) {
  const quote = element("pre", "", text);
  quote.dir = "auto";
  quote.tabIndex = 0; // a long one scrolls
  return quote;
}

function button({ label, act, href, primary }) {
  const made = element(href ? "a" : "button", `button${primary ? " primary" : ""}`, label);
  if (href) Object.assign(made, { href, target: "_blank", rel: "noopener" });
  else made.type = "button";
  if (act) made.addEventListener("click", act);
  return made;
}

// An answer, or the draft of one, in words: what was written comes first.
export function answerAsText(answer) {
  const { text, edited, reason, ranks, ...rest } = answer ?? {};
  const lines = [text, edited?.text, reason].filter(Boolean);
  for (const [key, rank] of Object.entries(ranks ?? {})) lines.push(interpolate(gettext("%s: rank %s"), [key.toUpperCase(), rank]));
  for (const [name, value] of Object.entries(rest)) if (isSaid(value)) lines.push(`${name}: ${inWords(value)}`);
  return lines.join("\n");
}

function isSaid(value) {
  if (value === null || value === undefined || value === "" || value === false) return false;
  return typeof value !== "object" || Object.values(value).some(isSaid);
}

function inWords(value) {
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  return Object.entries(value).filter(([, inner]) => isSaid(inner)).map(([key, inner]) => `${key} ${inWords(inner)}`).join("; ");
}
