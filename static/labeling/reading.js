// How a task is read: the prompt and the answers. `cards` has an article for each answer; whoever asks about an answer
// puts the question into the card's `.answering`.

import { element, template } from "./elements.js";

export class Reading {
  constructor(task) {
    this.root = template("reading").firstElementChild;
    paintPrompt(this.root.querySelector(".prompt"), task.prompt);
    this.cards = new Map(task.completions.map((completion) => [completion.key, paintCompletion(completion)]));
    const answers = this.root.querySelector(".completions");
    answers.classList.toggle("pair", this.cards.size === 2);
    answers.hidden = this.cards.size === 0;
    answers.append(...this.cards.values());
  }

  // A command of keys.js; true where it was one of ours.
  act() {
    return false;
  }

  // The answer that a person is at.
  mark(key) {
    for (const [other, card] of this.cards) card.classList.toggle("is-current", other === key);
  }
}

function paintPrompt(place, messages) {
  const only = messages.length === 1;
  place.hidden = messages.length === 0;
  place.append(
    ...messages.map(({ role, html }) => {
      const message = template("message").firstElementChild;
      message.classList.add(`from-${role}`);
      message.querySelector(".role").textContent = only ? gettext("Prompt") : role;
      message.querySelector(".prose").innerHTML = html; // made harmless by the server (rlhf/render.py)
      return message;
    }),
  );
}

function paintCompletion({ key, html }) {
  const card = template("completion").firstElementChild;
  const letter = key.toUpperCase();
  card.dataset.key = key;
  card.setAttribute("aria-label", interpolate(gettext("Answer %s"), [letter]));
  card.querySelector(".letter").append(element("span", "visually-hidden", gettext("Answer")), ` ${letter}`);
  card.querySelector(".prose").innerHTML = html; // made harmless by the server (rlhf/render.py)
  return card;
}
