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

  // takesFocus is false where the person may be writing something else meanwhile.
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
  Object.assign(quote, { dir: "auto", tabIndex: 0 }); // a long one scrolls
  return quote;
}

function button({ label, act, href, primary }) {
  const made = element(href ? "a" : "button", `button${primary ? " primary" : ""}`, label);
  if (href) Object.assign(made, { href, target: "_blank", rel: "noopener" });
  else made.type = "button";
  if (act) made.addEventListener("click", act);
  return made;
}
