// What a person is told when something did not go as meant: what happened, that nothing is lost, what to do.

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

  show({ title, text, quotes = [], actions = [] }) {
    const notice = element("section", "notice notice-warm");
    notice.setAttribute("role", "alert");
    notice.append(element("h2", "", title), element("p", "", text));
    for (const quote of quotes) notice.append(element("h3", "", quote.title), element("pre", "", quote.text));
    const row = element("div", "actions");
    row.append(...actions.map(button));
    notice.append(row);
    this.place.replaceChildren(notice);
    notice.scrollIntoView({ block: "nearest" });
    row.querySelector("button.primary, a.primary")?.focus();
  }
}

function button({ label, act, href, primary }) {
  const made = element(href ? "a" : "button", `button${primary ? " primary" : ""}`, label);
  if (href) Object.assign(made, { href, target: "_blank", rel: "noopener" });
  else made.type = "button";
  if (act) made.addEventListener("click", act);
  return made;
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function answerAsText(answer) {
  if (!answer) return "";
  if (typeof answer.text === "string") return answer.text;
  return Object.entries(answer.ranks ?? {}).map(([key, rank]) => `${key.toUpperCase()}: rank ${rank}`).join("\n");
}
