// The labeling page: paints a task, sends its answer in the background, and shows the next task at once.

import { Api } from "./labeling/api.js";
import { Banners } from "./labeling/banners.js";
import { Bar } from "./labeling/bar.js";
import { ActiveClock } from "./labeling/clock.js";
import { askToSkip, mustRead, showKeys } from "./labeling/dialogs.js";
import { Shelf } from "./labeling/drafts.js";
import { command } from "./labeling/keys.js";
import { Notices } from "./labeling/notices.js";
import { Outbox } from "./labeling/outbox.js";
import * as screens from "./labeling/screens.js";
import { Supply } from "./labeling/supply.js";
import { Undo } from "./labeling/undo.js";
import { answerAsText } from "./labeling/wording.js";
import { Work } from "./labeling/work.js";

const LOOK_AGAIN_MS = 10_000;
const HASTE_MS = 1_000; // a second press for the last task must not submit a draft that just came up complete

class LabelingPage {
  constructor({ dataset }) {
    this.api = new Api(dataset.next.replace(/\/next$/, ""));
    this.shelf = new Shelf(dataset.user, dataset.project);
    this.bar = new Bar(this.shelf);
    this.clock = new ActiveClock();
    this.notices = new Notices(part("notices"), part("announcer"));
    this.outbox = new Outbox({ api: this.api, shelf: this.shelf, onReply: (sent) => this.#replied(sent), onStuck: () => this.banners.paint() });
    this.banners = new Banners({
      notices: this.notices,
      outbox: this.outbox,
      login: dataset.login,
      retry: () => this.outbox.send(),
      goBack: (refused) => this.#goBackTo(refused),
      leave: (refused) => this.#leave(refused),
      isWaiting: () => this.isWaiting,
    });
    const held = () => (this.work?.isConfirmed && !this.work.task.revises ? this.work.assignment : null);
    this.supply = new Supply({ api: this.api, clock: this.clock, held, mayFetch: () => Boolean(this.work) && this.outbox.isEmpty });
    this.undo = new Undo({ button: part("undo-button"), shelf: this.shelf, act: () => this.#undo() });
    this.read = new Set(); // guidelines that were confirmed since the page was loaded
    this.accepted = null; // the content warning under which the person goes on
    this.work = null; // what is on the page
    this.aside = null; // the task that waits while an earlier one is changed
    this.isWaiting = false; // for a reply, with nothing new to show
  }

  async begin() {
    this.#listen();
    const [task, progress, paused] = ["task-data", "progress-data", "paused-data"].map(inlined);
    this.undo.paint();
    if (paused) return this.#showScreen(screens.paused(paused));
    if (!this.outbox.isEmpty) {
      this.#wait();
      return this.outbox.send();
    }
    this.#paint(task);
    this.bar.paintPace(progress);
    this.banners.paint();
    this.supply.fetch();
  }

  #listen() {
    addEventListener("keydown", (event) => this.#onKey(event));
    addEventListener("pagehide", () => this.work?.draft.flush({ keepalive: true }));
    document.addEventListener("visibilitychange", () => document.hidden && this.work?.draft.flush({ keepalive: true }));
    part("submit-button").addEventListener("click", () => this.submit());
    part("skip-button").addEventListener("click", () => this.#skip());
    part("keep-button").addEventListener("click", () => this.#keepAsItWas());
    part("keys-button").addEventListener("click", () => showKeys(this.work?.task));
    part("skip-cancel").addEventListener("click", () => part("skip-dialog").close(""));
  }

  #onKey(event) {
    if (document.querySelector("dialog[open]")) return;
    const found = command(event);
    if (!found) return;
    const own = {
      submit: () => (this.goOn ?? (() => this.submit()))(),
      skip: () => this.#skip(),
      undo: () => this.#undo(),
      keys: () => showKeys(this.work?.task),
      guidelines: () => this.bar.toggleGuidelines(),
    }[found.name];
    if (own) {
      event.preventDefault();
      if (!event.repeat) own();
    } else if (this.work && (this.work.reading.act(found) || this.work.panel.act(found, event.target))) event.preventDefault();
  }

  // Painting

  #paint(task, { isConfirmed = true } = {}) {
    clearTimeout(this.waiting);
    this.work?.close();
    Object.assign(this, { work: null, isWaiting: false, goOn: null });
    this.undo.paint(Boolean(task?.revises));
    this.bar.paintTask(task);
    this.bar.draft("");
    if (!task) return this.#paintNothing();
    const handlers = { onChange: () => this.#paintState(), onRefused: (text) => this.bar.state(text), onDraft: (text) => this.bar.draft(text) };
    this.work = new Work(task, { api: this.api, shelf: this.shelf, isConfirmed, ...handlers });
    if (isConfirmed) this.supply.leased();
    if (task.content_warning && task.content_warning !== this.accepted) return this.#warn(task);
    this.accepted = task.content_warning;
    this.#showWork();
  }

  #showWork() {
    const { task, panel } = this.work;
    part("workspace").replaceChildren(panel.root);
    this.bar.showSubmit(true);
    this.#lock(false);
    panel.restore(panel.content); // heights are known only on the page
    panel.isTouched = false;
    this.#paintState();
    scrollTo(0, 0);
    this.paintedAt = performance.now();
    part("workspace").dataset.assignment = task.assignment;
    this.clock.start();
    panel.start();
    this.#mustRead(task.guidelines);
  }

  async #mustRead(guidelines) {
    const name = `${guidelines.protocol}:${guidelines.revision}`;
    if (!guidelines.must_read || this.read.has(name)) return;
    await mustRead(guidelines);
    this.read.add(name);
    this.api.haveRead(guidelines);
    this.work?.panel.start();
  }

  #warn({ content_warning: text }) {
    const act = (choice) => ({ show: () => this.#acceptWarning(text), other: () => this.#giveBack(), never: () => this.#decline() })[choice]();
    this.#showScreen(screens.warning(text, act));
  }

  #acceptWarning(text) {
    this.accepted = text;
    this.#showWork();
  }

  async #decline() {
    const reply = await this.api.declineWarned();
    if (reply.ok) return this.#giveBack();
    this.banners.explain(reply, { title: gettext("Your choice is not saved yet"), retry: () => this.#decline() });
  }

  #giveBack() {
    const { skip_reasons: reasons } = this.work.task;
    this.#sendSkip({ reason: reasons.find(({ name }) => name === "harmful")?.name ?? gettext("Content warning") });
  }

  #showScreen(screen) {
    this.bar.showSubmit(false);
    part("workspace").replaceChildren(screen);
    delete part("workspace").dataset.assignment;
    screen.querySelector("button.primary")?.focus();
  }

  #paintNothing() {
    this.#showScreen(screens.nothing(() => this.#fetchNext()));
    this.waiting = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
  }

  #lookAgain() {
    if (document.hidden) this.waiting = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
    else this.#fetchNext();
  }

  async #fetchNext() {
    clearTimeout(this.waiting);
    const reply = await this.api.next();
    if (!reply.ok) return this.#failed(reply, { title: gettext("No task could be fetched"), retry: () => this.#fetchNext() });
    this.banners.say(null);
    this.#arrived(reply.data);
  }

  #failed(reply, explanation) {
    this.#lock(false);
    if (reply.data?.paused !== undefined) return this.#pause(reply.data.paused);
    this.banners.explain(reply, explanation);
  }

  #pause(reason) {
    this.#paint(null);
    clearTimeout(this.waiting);
    this.#showScreen(screens.paused(reason));
  }

  #paintState() {
    const [first] = this.work.panel.missing;
    this.bar.state(first ? first.text : gettext("Ready to submit"), Boolean(first));
  }

  #lock(isLocked) {
    this.work?.panel.lock(isLocked);
    part("submit-button").disabled = isLocked;
  }

  // Nothing new to show yet: the answer stays in sight, locked.
  #wait() {
    this.isWaiting = true;
    this.#lock(true);
    this.bar.draft(gettext("Saving …"));
  }

  // Sending

  submit() {
    const { work } = this;
    if (!work || this.isWaiting || this.goOn || !work.panel.root.isConnected) return;
    if (work.panel.missing.length) return this.#sayWhatIsMissing();
    if (!work.panel.isTouched && performance.now() - this.paintedAt < HASTE_MS) return;
    const { task, assignment } = work;
    const answer = work.panel.body;
    this.outbox.add({ assignment, task, answer, active_s: this.clock.seconds(), revises: task.revises ?? undefined });
    work.draft.close();
    const next = this.#takeNext();
    if (next) this.outbox.hold(next.assignment);
    if (next && !task.qualification) this.#paint(next, { isConfirmed: this.isAsideConfirmed });
    else {
      this.ahead = next;
      this.#wait();
    }
    this.outbox.send();
  }

  // The task that was put aside for a change, else the prefetched one.
  #takeNext() {
    const { aside } = this;
    this.aside = null;
    this.isAsideConfirmed = Boolean(aside?.isConfirmed);
    return aside?.task ?? this.supply.take();
  }

  #sayWhatIsMissing() {
    const [{ text }] = this.work.panel.missing;
    this.work.panel.goToMissing();
    this.bar.state(interpolate(gettext("%s. Nothing was sent."), [text]));
  }

  async #replied({ item, reply, isStored }) {
    if (isStored) this.#stored(item, reply);
    this.banners.paint();
    if (reply.data?.feedback) await this.#showFeedback(item, reply.data.feedback);
    if (this.outbox.isEmpty) return this.#confirm(reply.ok ? reply.data : await this.#next());
    // A quick person has answered the next task meanwhile, and waits.
    if (!this.isWaiting || !reply.data?.prefetched) return;
    this.outbox.hold(reply.data.prefetched.assignment);
    this.#paint(reply.data.prefetched, { isConfirmed: false });
  }

  #stored({ assignment, active_s }, reply) {
    this.shelf.drop("draft", assignment);
    this.bar.pace(active_s);
    this.notices.announce(gettext("Saved."));
    if (reply.ok) this.undo.set(reply.data.undo_until);
  }

  // What the server says where no answer of ours brought it along.
  async #next() {
    const reply = await this.api.next(this.isWaiting ? this.ahead?.assignment : this.work?.assignment);
    if (reply.ok) return reply.data;
    this.#failed(reply, { title: gettext("No task could be fetched"), retry: () => this.#fetchNext() });
    return null;
  }

  #confirm(said) {
    if (!said || !this.outbox.isEmpty) return;
    if (this.isWaiting || !this.work) return this.#arrived(said);
    const { assignment, isConfirmed } = this.work;
    const isOurs = isConfirmed || [said.confirmed, said.next?.assignment].includes(assignment);
    if (!isOurs) return this.#lost(said);
    if (!isConfirmed) this.supply.leased();
    this.work.confirm();
    this.#restock(said);
  }

  #arrived(said) {
    const ahead = this.ahead?.assignment === said.confirmed ? this.ahead : null;
    this.ahead = null;
    this.#paint(said.next ?? ahead);
    this.#restock(said);
  }

  #restock(said) {
    this.bar.paintPace(said.progress);
    this.supply.put(said.prefetched);
    if (!said.prefetched) this.supply.fetch();
  }

  // The task on the page went to somebody else before its lease was ours. What was entered since stays in sight.
  #lost(said) {
    const { panel, task } = this.work;
    if (panel.isTouched) {
      this.banners.say({
        title: gettext("The task that you began went to somebody else"),
        text: gettext("It was offered to you too long ago. What you entered for it was not sent:"),
        quotes: [{ title: task.prompt.at(-1)?.content.slice(0, 80) ?? gettext("Your text"), text: answerAsText(panel.content, task.asks) }],
        actions: [{ label: gettext("Go on"), primary: true, act: () => this.banners.say(null) }],
      });
    }
    this.shelf.drop("draft", task.assignment);
    this.#arrived(said);
  }

  #showFeedback(item, feedback) {
    const shown = screens.feedback(feedback, item.task, item.answer);
    part("workspace").prepend(shown);
    this.bar.draft("");
    scrollTo(0, 0);
    return new Promise((resolve) => {
      this.goOn = resolve;
      shown.querySelector("button").addEventListener("click", resolve);
      shown.querySelector("button").focus();
    });
  }

  // Going back

  #leave(refused) {
    this.outbox.settle(refused);
    this.shelf.drop("draft", refused.assignment);
    this.banners.paint();
    if (!this.work) this.#fetchNext();
  }

  #goBackTo(refused) {
    this.outbox.settle(refused);
    this.shelf.put("draft", refused.assignment, { content: refused.answer, synced: false });
    this.banners.paint();
    this.#putAside();
    this.#paint({ ...refused.task, draft: refused.answer, revises: refused.revises ?? null });
  }

  #putAside() {
    const isOther = this.work && !this.work.task.revises;
    if (isOther) this.aside = { task: this.work.task, isConfirmed: this.work.isConfirmed };
  }

  async #undo() {
    if (this.isWaiting || this.goOn || this.work?.task.revises) return;
    if (!this.undo.isOpen && this.outbox.isEmpty) return this.bar.state(gettext("There is no answer to go back to: the time for it is over."));
    this.#lock(true);
    await this.outbox.whenIdle();
    const reply = await this.api.undo();
    this.#lock(false);
    if (!reply.ok && reply.status === 409) {
      this.undo.set(null);
      return this.bar.state(reply.data.detail);
    }
    if (!reply.ok) return this.#failed(reply, { title: gettext("Your last answer could not be fetched"), retry: () => this.#undo() });
    this.banners.say(null);
    this.#putAside();
    this.shelf.drop("draft", reply.data.next.assignment);
    this.#paint(reply.data.next);
  }

  #keepAsItWas() {
    const { aside, work } = this;
    work.draft.close();
    this.shelf.drop("draft", work.assignment);
    this.aside = null;
    if (aside) this.#paint(aside.task, { isConfirmed: aside.isConfirmed });
    else this.#fetchNext();
  }

  async #skip() {
    if (!this.work || this.isWaiting || this.goOn || this.work.task.revises) return;
    const skipped = await askToSkip(this.work.task);
    if (skipped) await this.#sendSkip(skipped);
  }

  async #sendSkip(skipped) {
    const { assignment, draft } = this.work;
    this.#lock(true);
    await this.outbox.whenIdle();
    if (this.work?.assignment !== assignment) return; // the server knew better meanwhile
    this.#wait();
    draft.close();
    this.ahead = this.supply.take();
    const reply = await this.api.skip(assignment, { ...skipped, holds: this.ahead?.assignment });
    if (reply.ok || reply.status === 409) {
      this.shelf.drop("draft", assignment);
      this.banners.say(null);
      return reply.ok ? this.#arrived(reply.data) : this.#fetchNext();
    }
    this.isWaiting = false;
    draft.reopen();
    this.#failed(reply, { title: gettext("The task is not skipped yet"), retry: () => this.#sendSkip(skipped) });
  }
}

function part(id) {
  return document.getElementById(id);
}

function inlined(id) {
  return JSON.parse(part(id).textContent);
}

new LabelingPage(part("labeling")).begin();
