// Active seconds on one task: time in a visible page within IDLE_S of the last sign of a person.

const IDLE_S = 30;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchstart"];

export class ActiveClock {
  #active = 0;
  #lastTick = performance.now();
  #lastSign = performance.now();

  constructor() {
    for (const sign of SIGNS) {
      addEventListener(sign, () => this.#note(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => this.#tick());
  }

  start(seconds = 0) {
    this.#active = seconds;
    this.#lastTick = this.#lastSign = performance.now();
  }

  seconds() {
    this.#tick();
    return Math.round(this.#active * 10) / 10;
  }

  // Somebody is here: the page is visible, and there was a sign of a person a moment ago.
  get isActive() {
    return document.visibilityState === "visible" && performance.now() - this.#lastSign < IDLE_S * 1000;
  }

  #note() {
    this.#tick();
    this.#lastSign = performance.now();
  }

  #tick() {
    const now = performance.now();
    const until = Math.min(now, this.#lastSign + IDLE_S * 1000);
    // A change of visibility ticks too, so a span is wholly visible or wholly hidden: hidden is what it is *after*.
    const wasVisible = this.visible ?? true;
    this.visible = document.visibilityState === "visible";
    if (wasVisible && until > this.#lastTick) this.#active += (until - this.#lastTick) / 1000;
    this.#lastTick = now;
  }
}
