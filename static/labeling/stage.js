// What is on the page: a task to work on, or a screen in its place. Whether something is to be shown is decided in flow.js.

import { mustRead } from "./dialogs.js";
import * as screens from "./screens.js";
import { Work } from "./work.js";

const LOOK_AGAIN_MS = 10_000;
const HASTE_MS = 400; // a second press for the last task must not submit a draft that just came up complete

export class Stage {
  #read = new Set(); // guidelines that were confirmed since the page was loaded
  #accepted = null; // the content warning under which the person goes on
  #paintedAt = 0;

  // decline(), giveBack() and fetchNext() say what the buttons of a screen do.
  constructor({ api, shelf, bar, clock, ...acts }) {
    Object.assign(this, { api, shelf, bar, clock, acts });
    this.work = null;
    this.why = ""; // nothing is left for this person, where the server says more than that
    this.isWaiting = false; // for a reply, with nothing new to show
    this.goOn = null; // set while something is shown that the person leaves by going on
  }

  // active_s: what was spent on it before something else came between.
  paint(task, { isConfirmed = true, active_s = 0 } = {}) {
    clearTimeout(this.looking);
    this.work?.close();
    Object.assign(this, { work: null, isWaiting: false, goOn: null, active_s });
    this.bar.paintTask(task);
    this.bar.draft("");
    if (!task) return this.#paintNothing();
    const handlers = { onChange: () => this.#paintState(), onRefused: (text) => this.bar.state(text), onDraft: (text) => this.bar.draft(text) };
    this.work = new Work(task, { api: this.api, shelf: this.shelf, isConfirmed, ...handlers });
    const { content_warning: warning } = task;
    if (warning && warning !== this.#accepted) this.#warn(warning);
    else this.#showWork();
  }

  // Nothing new to show yet: the answer stays in sight, locked.
  wait() {
    this.isWaiting = true;
    this.lock(true);
    this.bar.state("");
    this.bar.draft(gettext("Saving …"));
  }

  lock(isLocked) {
    this.work?.panel.lock(isLocked);
  }

  // A task that a person can work on now: not behind a warning, not locked, not left behind.
  get isOpen() {
    const { panel } = this.work ?? {};
    return Boolean(panel?.root.isConnected) && !panel.isLocked && !this.isWaiting && !this.goOn;
  }

  get isHasty() {
    const { panel, task } = this.work;
    return !panel.isTouched && !task.revises && performance.now() - this.#paintedAt < HASTE_MS;
  }

  sayWhatIsMissing() {
    const [{ text }] = this.work.panel.missing;
    this.work.panel.goToMissing();
    this.bar.state(interpolate(gettext("%s. Nothing was sent."), [text]));
  }

  pause(reason) {
    this.paint(null);
    clearTimeout(this.looking);
    this.#show(screens.paused(reason));
  }

  // Resolves once the person goes on.
  feedback(feedback, { task, answer }) {
    const shown = screens.feedback(feedback, task, answer);
    part("workspace").prepend(shown);
    this.bar.draft("");
    scrollTo(0, 0);
    return new Promise((resolve) => {
      this.goOn = resolve;
      shown.querySelector("button").addEventListener("click", resolve);
      shown.querySelector("button").focus();
    });
  }

  #showWork() {
    const { task, panel } = this.work;
    this.#accepted = task.content_warning;
    part("workspace").replaceChildren(panel.root);
    part("workspace").dataset.assignment = task.assignment;
    this.bar.showSubmit(true);
    this.lock(false);
    panel.laidOut();
    this.#paintState();
    scrollTo(0, 0);
    this.#paintedAt = performance.now();
    this.clock.start(this.active_s);
    panel.start();
    this.#mustRead(task.guidelines);
  }

  #paintState() {
    const [first] = this.work.panel.missing;
    this.bar.state(first ? first.text : gettext("Ready to submit"), Boolean(first));
  }

  async #mustRead(guidelines) {
    const name = `${guidelines.protocol}:${guidelines.revision}`;
    if (!guidelines.must_read || this.#read.has(name)) return;
    await mustRead(guidelines);
    this.#read.add(name);
    this.api.haveRead(guidelines);
    this.clock.start(this.active_s); // reading the guidelines is no time on the task
    this.work?.panel.start();
  }

  #warn(text) {
    const act = { show: () => this.#showWork(), other: () => this.acts.giveBack(), never: () => this.acts.decline() };
    this.#show(screens.warning(text, (choice) => act[choice]()));
  }

  #show(screen) {
    this.bar.showSubmit(false);
    part("workspace").replaceChildren(screen);
    delete part("workspace").dataset.assignment;
    const first = screen.querySelector("button.primary") ?? screen.querySelector("button") ?? screen.querySelector("h2");
    if (first.matches("h2")) first.tabIndex = -1;
    first.focus(); // what had it has gone
  }

  // What is there already stays, so that looking again takes nobody's focus away.
  #paintNothing() {
    this.empty ??= screens.nothing(() => this.acts.fetchNext());
    if (!this.empty.isConnected) this.#show(this.empty);
    screens.looked(this.empty, this.why);
    this.looking = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
  }

  #lookAgain() {
    if (document.hidden) this.looking = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
    else this.acts.fetchNext();
  }
}

function part(id) {
  return document.getElementById(id);
}
