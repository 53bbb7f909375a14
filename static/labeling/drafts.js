// Nothing that was entered is lost: each change goes to this browser's storage at once, and to the server a second later,
// and when the page is hidden or left.
//
// Two windows on the same task: every change has a number, counted on by all tabs of a browser through its storage. A tab
// with nothing unsent takes over what another tab writes. The server refuses a draft that does not follow from the one it
// has (another browser wrote in between). Whenever a newer text would be overwritten, both are shown and the person says
// which one stays.

import { answerAsText } from "./wording.js";

const SEND_MS = 1000;
const RETRY_MS = 5000;
const MAX_KEEPALIVE = 60_000; // bytes; browsers take 64 KiB for all requests together that outlive a page

export class Draft {
  #timer = null;
  #due = 0;
  #sending = null;
  #dirty = false;
  #listening = null;
  #isKept = true;
  #seq = 0; // of the content that this tab knows
  #own = 0; // of the last change that was made in this tab

  // savedAt: when the server's draft was saved, as it said; revises: the revision that this one changes (the server takes no
  // draft of that: it stays in this browser), or null;
  // onNewer(content): another tab has written, or the person chose the other text.
  constructor({ api, shelf, assignment, savedAt = null, revises = null, onState, onNewer, notices }) {
    Object.assign(this, { api, shelf, assignment, savedAt, revises, isLocal: Boolean(revises), onState, onNewer, notices });
    this.#listen();
  }

  // What this browser has and the server does not wins over the server's draft, unless that one came from elsewhere later:
  // then both are offered.
  restored(fromServer) {
    const local = this.#kept();
    const { _by: by, ...content } = fromServer ?? {};
    const isOurs = by?.browser === this.shelf.browser;
    this.#seq = Math.max(local?.seq ?? 0, isOurs ? by.seq : 0); // one that was put there by hand has no number
    const aside = this.shelf.get("aside", this.assignment);
    if (aside) this.#offer(aside.content);
    const isNewer = !local || local.synced || (isOurs && by.seq > local.seq);
    if (isNewer && (fromServer || !local)) return (this.content = fromServer && content);
    if (fromServer && !this.isLocal && !isOurs && local.savedAt !== this.savedAt && !isSame(content, local.content)) this.#setAside(content);
    this.#dirty = true;
    this.#schedule(SEND_MS);
    return (this.content = local.content);
  }

  change(content) {
    const kept = this.#kept();
    if (kept && kept.seq > this.#seq && !isSame(kept.content, content)) this.#setAside(kept.content);
    const after = this.#seq;
    this.#seq = this.#own = Math.max(this.#seq, kept?.seq ?? 0) + 1;
    this.content = content;
    this.#dirty = true;
    this.#keep({ after });
    this.onState(this.#isKept ? "" : gettext("This browser's storage is full: saving on the server …"));
    this.#schedule(SEND_MS);
  }

  async flush({ keepalive = false } = {}) {
    if (!this.#dirty || !this.#listening || this.isLocal) return;
    if (this.#sending && !keepalive) return this.#schedule(SEND_MS / 4);
    this.#stopTimer();
    const [content, seq] = [this.content, this.#seq];
    this.#dirty = false;
    const sending = this.#send(content, seq, keepalive);
    this.#sending = sending;
    const reply = await sending;
    if (this.#sending === sending) this.#sending = null;
    if (!this.#listening) return;
    if (reply.ok) this.#saved(reply.data, seq);
    else this.#failed(reply);
  }

  // Waits for a draft that is on its way, so that it can't arrive after the answer.
  async close() {
    this.#stopTimer();
    this.#listening?.abort();
    this.#listening = null;
    this.notices.clear();
    await this.#sending;
  }

  reopen() {
    if (!this.#listening) this.#listen();
    this.#dirty = true;
    this.#schedule(RETRY_MS);
  }

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener("storage", (event) => this.#hear(event), { signal });
    addEventListener("online", () => this.flush(), { signal });
    addEventListener("pagehide", () => this.flush({ keepalive: true }), { signal });
    document.addEventListener("visibilitychange", () => this.flush({ keepalive: document.hidden }), { signal });
    addEventListener("beforeunload", (event) => this.#dirty && !this.#isKept && event.preventDefault(), { signal });
  }

  // What is left of the answer before it is none of a change of it.
  #kept() {
    const kept = this.shelf.get("draft", this.assignment);
    return kept && (kept.revises ?? null) === this.revises ? kept : null;
  }

  // after: the number of the content that this one goes on from.
  #keep({ after = this.#seq, synced = false }) {
    this.#isKept = this.shelf.put("draft", this.assignment, { content: this.content, seq: this.#seq, after, savedAt: this.savedAt, revises: this.revises, synced });
  }

  // Another tab of this browser wrote to the same task. Where it had seen our last change, its text takes the place of
  // ours, and it is the one that sends it.
  #hear({ key, newValue }) {
    if (key !== this.shelf.name("draft", this.assignment) || !newValue) return;
    const { content, seq, after, savedAt } = JSON.parse(newValue);
    this.savedAt = savedAt;
    if (seq <= this.#seq || isSame(content, this.content)) return;
    if (after < this.#own) return this.#setAside(content);
    Object.assign(this, { content });
    this.#seq = seq;
    this.#dirty = false;
    this.#stopTimer();
    this.onNewer(content);
  }

  #send(content, seq, keepalive) {
    const draft = { ...content, _by: { browser: this.shelf.browser, seq } };
    const isSmall = keepalive && new Blob([JSON.stringify(draft)]).size < MAX_KEEPALIVE;
    return this.api.saveDraft(this.assignment, draft, { keepalive: isSmall, follows: this.savedAt });
  }

  #saved({ draft_saved_at: savedAt }, seq) {
    this.savedAt = savedAt;
    if (this.#seq !== seq) return;
    this.#keep({ synced: true });
    this.onState(gettext("Draft saved"));
  }

  #failed({ status, data }) {
    this.#dirty = true;
    if (status === 409 && data?.newer) return this.#follow(data.newer);
    if (status === 404 || status === 409) return this.onState(gettext("Answered or skipped in another tab; kept in this browser"));
    if (status === 400 || status === 413) return this.onState(data?.detail ?? gettext("The server did not take the draft; kept in this browser"));
    const isSignedOut = [401, 403].includes(status);
    this.onState(isSignedOut ? gettext("Kept in this browser: you are signed out") : gettext("Kept in this browser; saving again soon"));
    this.#schedule(RETRY_MS);
  }

  // Somebody else's draft is on the server: it is kept beside ours, and ours goes on from it.
  #follow({ draft, draft_saved_at: savedAt }) {
    const { _by, ...content } = draft ?? {};
    this.savedAt = savedAt;
    if (!isSame(content, this.content)) this.#setAside(content);
    this.#schedule(SEND_MS);
  }

  #setAside(content) {
    this.shelf.put("aside", this.assignment, { content });
    this.#offer(content);
  }

  #offer(content) {
    const settle = () => {
      this.shelf.drop("aside", this.assignment);
      this.notices.clear();
    };
    const use = () => {
      settle();
      this.change(content);
      this.onNewer(content);
    };
    this.notices.show({
      title: gettext("This task was also worked on in another window"),
      text: gettext("Below is what you entered here. This is what you entered there:"),
      takesFocus: false,
      quotes: [{ title: gettext("In the other window"), text: answerAsText(content) }],
      actions: [{ label: gettext("Keep what is here"), primary: true, act: settle }, { label: gettext("Use the other one"), act: use }],
    });
  }

  // The earlier time counts: somebody who types on and on must not put the saving off.
  #schedule(delay) {
    const due = performance.now() + delay;
    if (this.isLocal || (this.#timer !== null && this.#due <= due)) return;
    this.#stopTimer();
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, delay);
  }

  #stopTimer() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function isSame(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
