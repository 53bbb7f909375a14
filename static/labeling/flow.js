// From one task to the next: an answer is sent in the background while the next task is on the page already, and what
// the server says about that is made good. Going back, skipping and waiting are here too.

import { askToSkip } from "./dialogs.js";
import { answerAsText } from "./wording.js";

export class Flow {
  #ahead = null; // the prefetched task whose lease was asked for together with what we wait for
  #aside = null; // the task that waits while an earlier one is changed: {task, isConfirmed, active_s}

  constructor({ api, shelf, bar, clock, notices, undo }) {
    Object.assign(this, { api, shelf, bar, clock, notices, undo });
  }

  // The parts that tell us what happened, made after us.
  attach({ stage, outbox, supply, banners }) {
    Object.assign(this, { stage, outbox, supply, banners });
  }

  begin({ task, progress, why_nothing: why }) {
    this.stage.why = why;
    if (!this.outbox.isEmpty) {
      this.stage.wait();
      return this.outbox.send();
    }
    this.#paint(task);
    this.bar.paintPace(progress);
    this.banners.paint();
    return this.supply.fetch();
  }

  async fetchNext() {
    const reply = await this.api.next();
    if (!reply.ok) return this.#failed(reply, { title: gettext("No task could be fetched"), retry: () => this.fetchNext() });
    this.banners.say(null);
    this.#arrived(reply.data);
  }

  submit() {
    if (this.stage.goOn) return this.stage.goOn();
    if (!this.stage.isOpen) return;
    const { task, panel, draft, assignment } = this.stage.work;
    if (panel.missing.length) return this.stage.sayWhatIsMissing();
    if (this.stage.isHasty) return this.bar.state(gettext("This is another task: press once more to submit it."), false);
    this.outbox.add({ assignment, task, answer: panel.body, active_s: this.clock.seconds(), revises: task.revises ?? undefined });
    draft.close();
    this.#goOn(task);
    this.outbox.send();
  }

  // What comes next is painted at once where it is known, but not before the feedback of a qualification task.
  #goOn(task) {
    const next = this.#aside ?? { task: this.supply.take(), isConfirmed: false };
    this.#aside = this.#ahead = null;
    if (!next.task || task.qualification) return this.stage.wait();
    this.outbox.hold(next.task.assignment);
    this.#paint(next.task, next);
  }

  // An answer could not be sent: the banner says so, and the bar no longer says the opposite.
  stuck() {
    if (this.stage.isWaiting) this.bar.draft(gettext("Not saved yet"));
    this.banners.paint();
  }

  async replied({ item, reply, isStored }) {
    if (isStored) this.#stored(item, reply);
    this.banners.paint();
    if (reply.data?.feedback) await this.stage.feedback(reply.data.feedback, item);
    if (reply.ok && reply.data.paused !== undefined) return this.stage.pause(reply.data.paused);
    if (this.outbox.isEmpty) return reply.ok ? this.#settle(reply.data) : this.#settleAlone();
    // A quick person has answered the next task meanwhile, and waits.
    if (!this.stage.isWaiting || !reply.data?.prefetched) return;
    this.outbox.hold(reply.data.prefetched.assignment);
    this.#paint(reply.data.prefetched, { isConfirmed: false });
  }

  #stored({ assignment, active_s }, reply) {
    this.shelf.drop("draft", assignment);
    this.bar.pace(active_s);
    this.notices.announce(gettext("Saved."));
    if (reply.ok) this.undo.set(reply.data.undo_until);
  }

  // No answer of ours brought word of the task on the page: ask for its lease, or for a task where there is none.
  async #settleAlone() {
    const { work } = this.stage;
    if (work && !this.stage.isWaiting) {
      if (work.isConfirmed) return this.supply.fetch();
      const reply = await this.api.renew(work.assignment);
      if (reply.ok) this.#confirmed(work);
      if (reply.ok) return this.supply.fetch();
    }
    const reply = await this.api.next(this.#ahead?.assignment);
    if (reply.ok) return this.#settle(reply.data);
    this.#failed(reply, { title: gettext("No task could be fetched"), retry: () => this.fetchNext() });
  }

  #settle(said) {
    if (!said || !this.outbox.isEmpty) return;
    const { work } = this.stage;
    if (this.stage.isWaiting || !work) return this.#arrived(said);
    const isOurs = work.isConfirmed || [said.confirmed, said.next?.assignment].includes(work.assignment);
    if (!isOurs) return this.#lost(said);
    this.#confirmed(work);
    this.#restock(said);
  }

  #confirmed(work) {
    if (!work.isConfirmed) this.supply.leased();
    work.confirm();
  }

  #arrived(said) {
    const ahead = this.#ahead && this.#ahead.assignment === said.confirmed ? this.#ahead : null;
    this.#ahead = null;
    this.stage.why = said.why_nothing;
    this.#paint(said.next ?? ahead);
    this.#restock(said);
  }

  #restock(said) {
    this.bar.paintPace(said.progress);
    this.supply.put(said.prefetched);
    if (!said.prefetched) this.supply.fetch();
  }

  #paint(task, { isConfirmed = true, active_s = 0 } = {}) {
    this.undo.paint(Boolean(task?.revises));
    this.stage.paint(task, { isConfirmed, active_s });
    if (isConfirmed) this.supply.leased();
  }

  // The task on the page went to somebody else before its lease was ours. What was entered since stays in sight.
  #lost(said) {
    const { panel, task } = this.stage.work;
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

  #failed(reply, explanation) {
    this.stage.lock(false);
    if (reply.data?.paused !== undefined) this.stage.pause(reply.data.paused);
    else this.banners.explain(reply, explanation);
  }

  // Skipping

  async skip() {
    if (!this.stage.isOpen || this.stage.work.task.revises) return;
    const { task } = this.stage.work;
    const skipped = await askToSkip(task);
    const isHere = this.stage.work?.assignment === task.assignment; // another one may have taken its place meanwhile
    if (skipped && isHere) await this.#sendSkip(skipped);
  }

  giveBack() {
    const { skip_reasons: reasons } = this.stage.work.task;
    return this.#sendSkip({ reason: reasons.find(({ name }) => name === "harmful")?.name ?? gettext("Content warning") });
  }

  async decline() {
    const reply = await this.api.declineWarned();
    if (reply.ok) return this.giveBack();
    this.banners.explain(reply, { title: gettext("Your choice is not saved yet"), retry: () => this.decline() });
  }

  async #sendSkip(skipped) {
    const { assignment, draft } = this.stage.work;
    if (!(await this.#isSent())) return;
    if (this.stage.work?.assignment !== assignment) return; // the server knew better meanwhile
    this.stage.wait();
    draft.close();
    this.#ahead = this.supply.take();
    const reply = await this.api.skip(assignment, { ...skipped, holds: this.#ahead?.assignment });
    if (reply.ok || reply.status === 409) return this.#skipped(assignment, reply);
    this.stage.isWaiting = false;
    draft.reopen();
    this.#failed(reply, { title: gettext("The task is not skipped yet"), retry: () => this.#sendSkip(skipped) });
  }

  // Answers go first: while one is not stored the server takes its task for the one that we are at, and gives it again.
  async #isSent() {
    this.stage.lock(true);
    await this.outbox.send();
    if (this.outbox.isEmpty) return true;
    this.stage.lock(false);
    this.bar.state(gettext("Your last answer has to be saved first."));
    return false;
  }

  #skipped(assignment, reply) {
    this.shelf.drop("draft", assignment);
    this.banners.say(null);
    return reply.ok ? this.#arrived(reply.data) : this.fetchNext();
  }

  // Going back

  async takeBack() {
    const isBusy = this.stage.isWaiting || this.stage.goOn || this.stage.work?.task.revises;
    if (isBusy) return;
    if (!this.undo.isOpen && this.outbox.isEmpty) return this.bar.state(gettext("There is no answer to go back to."));
    if (!(await this.#isSent())) return;
    const reply = await this.api.undo();
    this.stage.lock(false);
    if (reply.ok) return this.#takenBack(reply.data.next);
    if (reply.status !== 409) return this.#failed(reply, { title: gettext("Your last answer could not be fetched"), retry: () => this.takeBack() });
    this.undo.set(null);
    this.bar.state(reply.data.detail);
  }

  #takenBack(task) {
    this.banners.say(null);
    this.#putAside();
    this.#paint(task);
  }

  #putAside() {
    const { work } = this.stage;
    if (!work || work.task.revises) return;
    const task = { ...work.task, draft: work.panel.content, draft_saved_at: work.draft.savedAt };
    this.#aside = { task, isConfirmed: work.isConfirmed, active_s: this.clock.seconds() };
  }

  keepAsItWas() {
    const { draft, assignment } = this.stage.work;
    draft.close();
    this.shelf.drop("draft", assignment);
    const aside = this.#aside;
    this.#aside = null;
    if (aside) this.#paint(aside.task, aside);
    else this.fetchNext();
  }

  // A refused answer: back to its task with everything in place, or let go.
  goBackTo(refused) {
    this.outbox.settle(refused);
    this.shelf.put("draft", refused.assignment, { content: refused.answer, revises: refused.revises, synced: false });
    this.banners.paint();
    this.#putAside();
    this.#paint(refused.task);
  }

  leave(refused) {
    this.outbox.settle(refused);
    this.shelf.drop("draft", refused.assignment);
    this.banners.paint();
    if (!this.stage.work) this.fetchNext();
  }
}
