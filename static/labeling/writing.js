// A text of one's own: the ideal answer to a prompt, or a prompt.

import { number, template } from "./elements.js";

// Scripts without spaces count by characters, as word processors count them.
const WORDS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu;

export class Writing {
  constructor({ answer, zones }) {
    this.answer = answer;
    this.root = template("writing").firstElementChild;
    this.area = this.root.querySelector("textarea");
    this.count = this.root.querySelector(".count");
    const isPrompt = answer.kind === "prompt";
    this.root.querySelector("label").textContent = isPrompt ? gettext("Your prompt") : gettext("Your answer");
    this.area.placeholder = isPrompt ? gettext("Write what you would really ask.") : gettext("Write the answer that you would want to get.");
    this.area.addEventListener("input", () => answer.change({ text: this.area.value }));
    zones.add(this.root, { zone: "text", act: () => "", focus: () => this.area.focus() });
  }

  restored() {
    this.area.value = this.answer.content.text;
  }

  lock(isLocked) {
    this.area.readOnly = isLocked;
  }

  paint() {
    this.area.style.height = "auto";
    this.area.style.height = `${this.area.scrollHeight + 2}px`;
    const words = this.area.value.match(WORDS)?.length ?? 0;
    this.count.textContent = interpolate(ngettext("%s word", "%s words", words), [number(words)]);
  }
}
