// The way back to the last answer, while there is time.

const TICK_MS = 5_000;

export class Undo {
  constructor({ button, shelf, act }) {
    Object.assign(this, { button, shelf });
    this.left = button.querySelector(".time-left");
    this.until = shelf.get("choice", "undo")?.until ?? 0;
    button.addEventListener("click", act);
    setInterval(() => this.paint(), TICK_MS);
  }

  get isOpen() {
    return this.until > Date.now();
  }

  // `until` as the server says it, or null: there is nothing to go back to.
  set(until) {
    this.until = until ? Date.parse(until) : 0;
    this.shelf.put("choice", "undo", { until: this.until });
    this.paint();
  }

  paint(isHidden = this.isHidden) {
    this.isHidden = isHidden;
    this.button.hidden = isHidden || !this.isOpen;
    const seconds = Math.round((this.until - Date.now()) / 1000);
    this.left.textContent = seconds > 60 ? interpolate(gettext("%s min"), [Math.ceil(seconds / 60)]) : interpolate(gettext("%s s"), [Math.max(0, seconds)]);
  }
}
