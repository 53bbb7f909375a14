// The labeling page: takes a task, keeps what is entered, sends it once, and paints the next task that the answer brings.

import { Comparing, template, Writing } from "./labeling/answers.js";
import { Api } from "./labeling/api.js";
import { Board } from "./labeling/board.js";
import { ActiveClock } from "./labeling/clock.js";
import { Draft, Shelf } from "./labeling/drafts.js";
import { command } from "./labeling/keys.js";
import { answerAsText, Notices } from "./labeling/notices.js";

const KINDS = {
  demonstrate: { title: "Write the ideal answer", view: Writing, key: "Ctrl Enter" },
  rank: { title: "Rank the answers, best first", view: Board, key: "Enter" },
  compare: { title: "Which answer is better?", view: Comparing, key: "Enter" },
};
const LOOK_AGAIN_MS = 10_000;
const PACE_OVER = 10; // answers
const ROOMY_PX = 1024;

class LabelingPage {
  constructor(root) {
    this.root = root;
    this.data = root.dataset;
    this.api = new Api(this.data.next.replace(/\/next$/, ""));
    this.shelf = new Shelf(this.data.user, this.data.project);
    this.clock = new ActiveClock();
    this.notices = new Notices(part("notices"), part("announcer"));
    this.paces = [];
    this.isBusy = false;
  }

  async begin() {
    this.#listen();
    const [unconfirmed] = this.shelf.unconfirmed();
    if (unconfirmed) await this.#send(unconfirmed, { isLate: true });
    else this.#paint({ next: inlined("task-data"), progress: inlined("progress-data") });
  }

  #listen() {
    addEventListener("keydown", (event) => this.#onKey(event));
    addEventListener("pagehide", () => this.draft?.flush({ keepalive: true }));
    document.addEventListener("visibilitychange", () => document.hidden && this.draft?.flush({ keepalive: true }));
    part("submit-button").addEventListener("click", () => this.submit());
    part("skip-button").addEventListener("click", () => this.#askToSkip());
    part("skip-cancel").addEventListener("click", () => part("skip-dialog").close("back"));
    part("skip-dialog").addEventListener("close", () => this.#skipAnswered());
    part("skip-form").addEventListener("keydown", (event) => chooseReason(event));
    part("keys-button").addEventListener("click", () => this.#showKeys());
    for (const id of ["guidelines-button", "guidelines-close"]) part(id).addEventListener("click", () => this.#toggleGuidelines());
  }

  #onKey(event) {
    if (document.querySelector("dialog[open]")) return;
    const found = command(event, this.task?.kind);
    if (!found) return;
    const own = { submit: () => this.submit(), skip: () => this.#askToSkip(), keys: () => this.#showKeys(), guidelines: () => this.#toggleGuidelines() }[found.name];
    if (!own && !this.view?.act(found)) return;
    event.preventDefault();
    if (own && !event.repeat) own();
  }

  async #fetchNext() {
    clearTimeout(this.waiting);
    const answer = await this.api.next();
    if (answer.ok) return this.#paint(answer.data);
    this.#explain(answer, { title: "No task could be fetched", retry: () => this.#fetchNext() });
  }

  #paint({ next: task, progress }) {
    this.notices.clear();
    this.task = task;
    this.view = this.draft = null;
    this.#paintPace(progress);
    part("submit-bar").hidden = !task;
    if (!task) return this.#paintNothing();
    const { title, view: View, key } = KINDS[task.kind];
    part("task-title").textContent = title;
    part("submit-key").textContent = key;
    this.draft = new Draft({ api: this.api, shelf: this.shelf, assignment: task.assignment, onState: (text) => (part("draft-state").textContent = text) });
    this.view = new View(task, { onChange: () => this.#changed(), onRefused: (text) => this.#say(text) });
    part("workspace").replaceChildren(this.view.root);
    this.view.restore(this.draft.restored(task.draft));
    part("draft-state").textContent = "";
    this.#paintGuidelines(task);
    this.#paintState();
    this.clock.start();
    scrollTo(0, 0);
    this.view.start();
  }

  // Open where there is room for it and nobody closed it; a person's own choice is remembered.
  #paintGuidelines({ guidelines: { html: guidelines }, kind }) {
    part("guidelines-text").innerHTML = guidelines; // made harmless by the server (rlhf/render.py)
    part("guidelines-button").hidden = !guidelines;
    const isOpen = this.shelf.get("choice", "guidelines")?.isOpen ?? (kind === "demonstrate" && innerWidth >= ROOMY_PX);
    this.#openGuidelines(Boolean(guidelines) && isOpen);
  }

  #openGuidelines(isOpen) {
    part("guidelines").hidden = !isOpen;
    part("guidelines-button").setAttribute("aria-expanded", String(isOpen));
  }

  #paintPace({ done_today: done, open }) {
    const seconds = this.paces.reduce((sum, pace) => sum + pace, 0) / this.paces.length;
    const parts = [`${done} done today`, `${open} open`];
    if (this.paces.length) parts.push(seconds < 90 ? `${Math.round(seconds)} s each` : `${(seconds / 60).toFixed(1)} min each`);
    part("pace").textContent = parts.join(" · ");
  }

  #paintNothing() {
    part("task-title").textContent = "Label";
    part("guidelines-button").hidden = part("guidelines").hidden = true;
    part("workspace").replaceChildren(template("nothing"));
    part("workspace").querySelector(".look-again").addEventListener("click", () => this.#fetchNext());
    this.waiting = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
  }

  #lookAgain() {
    if (document.hidden) this.waiting = setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS);
    else this.#fetchNext();
  }

  #changed() {
    this.draft.change(this.view.content);
    this.#paintState();
  }

  #paintState() {
    const lacking = this.view.lacking;
    part("task-state").textContent = lacking || "Ready to submit";
    part("submit-button").setAttribute("aria-disabled", String(Boolean(lacking)));
  }

  #say(text) {
    part("task-state").textContent = text;
  }

  async submit() {
    if (!this.view || this.isBusy) return;
    const answer = this.view.answer;
    if (!answer) return this.#say(`${this.view.lacking}. Nothing was sent.`);
    const { assignment } = this.task;
    const before = this.shelf.get("pending", assignment);
    const isSame = before && JSON.stringify(before.answer) === JSON.stringify(answer);
    const pending = isSame ? before : { assignment, submission_id: newId(), answer, active_s: this.clock.seconds() };
    this.shelf.put("pending", assignment, pending);
    await this.#send(pending);
  }

  async #send(pending, { isLate = false } = {}) {
    const { assignment, submission_id, answer, active_s } = pending;
    this.#setBusy(true);
    await this.draft?.close();
    const reply = await this.api.submit(assignment, { submission_id, ...answer, active_s });
    this.#setBusy(false);
    if (reply.ok || isStored(reply, answer)) return this.#accepted(pending, reply);
    this.draft?.reopen();
    if (reply.status === 409) return this.#refused(pending, reply, isLate);
    this.#explain(reply, {
      title: isLate ? "An earlier answer of yours is still waiting to be saved" : "Your answer is not saved yet",
      retry: () => (isLate ? this.#send(pending, { isLate }) : this.submit()),
      setAside: isLate && reply.status >= 400 && ![401, 403].includes(reply.status) ? () => this.#setAside(pending) : null,
      quotes: isLate ? [{ title: "The answer", text: answerAsText(answer) }] : [],
    });
  }

  #accepted({ assignment, active_s }, reply) {
    this.shelf.drop("pending", assignment);
    this.shelf.drop("draft", assignment);
    this.paces = [...this.paces, active_s].slice(-PACE_OVER);
    this.notices.announce("Saved.");
    if (reply.ok) this.#paint(reply.data);
    else this.#fetchNext();
  }

  // Answered already, here or in another tab: what is stored stays, what was entered here stays on the page.
  #refused(pending, reply, isLate) {
    const stored = reply.data?.stored?.answer;
    const quotes = stored ? [{ title: "What is stored", text: answerAsText(stored) }] : [];
    if (isLate) quotes.push({ title: "What was not sent", text: answerAsText(pending.answer) });
    this.notices.show({
      title: "This task has an answer of yours already",
      text: `${reply.data?.detail ?? "It was answered or skipped in another tab."} What you entered here was not sent and is still ${isLate ? "shown here" : "below"}.`,
      quotes,
      actions: [{ label: "Leave it so and go on", primary: true, act: () => this.#setAside(pending) }],
    });
  }

  #setAside({ assignment }, reply = null) {
    this.shelf.drop("pending", assignment);
    this.shelf.drop("draft", assignment);
    if (reply?.ok) this.#paint(reply.data);
    else this.#fetchNext();
  }

  #explain(reply, { title, retry, setAside, quotes }) {
    const actions = [{ label: "Try again", primary: true, act: retry }];
    let text = `${reply.data?.detail ?? `The server answered ${reply.status}.`} What you entered is kept here.`;
    if (reply.status === 0) text = "The server did not answer. What you entered is kept in this browser.";
    if (reply.status === 401 || (reply.status === 403 && !isRole(reply))) {
      text = "You are signed out. Sign in in a new tab, then come back here and try again: what you entered is kept.";
      actions.unshift({ label: "Sign in in a new tab", href: this.data.login });
    }
    if (setAside) actions.push({ label: "Give this answer up", act: setAside });
    this.notices.show({ title, text, quotes, actions });
  }

  #setBusy(isBusy) {
    this.isBusy = isBusy;
    this.view?.lock(isBusy);
    part("submit-button").disabled = isBusy;
    if (isBusy) part("draft-state").textContent = "Saving …";
    else part("draft-state").textContent = "";
  }

  #showKeys() {
    for (const list of document.querySelectorAll("#keys-dialog dl[data-kind]")) list.hidden = this.task ? list.dataset.kind !== this.task.kind : false;
    part("keys-dialog").showModal();
  }

  #toggleGuidelines() {
    if (part("guidelines-button").hidden) return;
    const isOpen = part("guidelines").hidden;
    this.shelf.put("choice", "guidelines", { isOpen });
    this.#openGuidelines(isOpen);
  }

  #askToSkip() {
    if (!this.task || this.isBusy) return;
    part("skip-form").reset();
    part("skip-dialog").returnValue = "back";
    part("skip-dialog").showModal();
  }

  async #skipAnswered() {
    if (part("skip-dialog").returnValue !== "skip") return;
    const { assignment } = this.task;
    const form = new FormData(part("skip-form"));
    const reason = [form.get("reason"), form.get("note").trim()].filter(Boolean).join(": ") || "Something else";
    await this.draft.close();
    const reply = await this.api.skip(assignment, reason);
    if (reply.ok || reply.status === 409) return this.#setAside({ assignment }, reply);
    this.draft.reopen();
    this.#explain(reply, { title: "The task is not skipped yet", retry: () => this.#skipAnswered() });
  }
}

function part(id) {
  return document.getElementById(id);
}

function inlined(id) {
  return JSON.parse(part(id).textContent);
}

// A conflict that says what we said is a success: the first try had arrived.
function isStored(reply, answer) {
  return reply.status === 409 && JSON.stringify(reply.data?.stored?.answer) === JSON.stringify(answer);
}

function isRole(reply) {
  return /expected the role/.test(reply.data?.detail ?? "");
}

function newId() {
  // crypto.randomUUID exists only on https and loopback; a labeler in a local network may have neither.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function chooseReason(event) {
  if (event.target.id === "skip-note" || !/^[1-5]$/.test(event.key)) return;
  const radios = part("skip-form").elements.reason;
  radios[Number(event.key) - 1].checked = true;
  radios[Number(event.key) - 1].focus();
}

new LabelingPage(part("labeling")).begin();
