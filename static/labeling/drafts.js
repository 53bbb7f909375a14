// Nothing that was entered is lost: each change goes to this browser's storage at once, and to the server a second
// after the last one, and when the page is hidden or left.

const DEBOUNCE_MS = 1000;
const RETRY_MS = 5000;
const KEEP_MS = 30 * 24 * 3600 * 1000;
const PREFIX = "hone";

export class Shelf {
  constructor(user, project) {
    this.scope = `${user}:${project}`;
    this.#sweep();
  }

  put(kind, assignment, value) {
    try {
      localStorage.setItem(this.#name(kind, assignment), JSON.stringify({ ...value, kept_at: Date.now() }));
      return true;
    } catch {
      return false; // storage is full or refused; the server's copy is the one that counts
    }
  }

  get(kind, assignment) {
    return read(this.#name(kind, assignment));
  }

  drop(kind, assignment) {
    try {
      localStorage.removeItem(this.#name(kind, assignment));
    } catch {
      // nothing was kept where nothing can be removed
    }
  }

  // Answers that were sent and never confirmed, oldest first.
  unconfirmed() {
    return this.#all("pending").sort((a, b) => a.kept_at - b.kept_at);
  }

  #all(kind) {
    const start = this.#name(kind, "");
    return names().filter((name) => name.startsWith(start)).map(read).filter(Boolean);
  }

  #name(kind, assignment) {
    return `${PREFIX}:${kind}:${this.scope}:${assignment}`;
  }

  #sweep() {
    for (const name of names()) {
      if (name.startsWith(`${PREFIX}:draft:`) && Date.now() - (read(name)?.kept_at ?? 0) > KEEP_MS) localStorage.removeItem(name);
    }
  }
}

export class Draft {
  #timer = null;
  #sending = null;
  #dirty = false;
  #closed = false;

  constructor({ api, shelf, assignment, onState }) {
    Object.assign(this, { api, shelf, assignment, onState });
  }

  // What this browser has that the server may not have wins over the server's draft.
  restored(fromServer) {
    const local = this.shelf.get("draft", this.assignment);
    if (local && !local.synced) {
      this.content = local.content;
      this.#dirty = true;
      this.#schedule(DEBOUNCE_MS);
      return local.content;
    }
    return fromServer ?? null;
  }

  change(content) {
    this.content = content;
    this.#dirty = true;
    this.shelf.put("draft", this.assignment, { content, synced: false });
    this.onState("");
    this.#schedule(DEBOUNCE_MS);
  }

  async flush({ keepalive = false } = {}) {
    clearTimeout(this.#timer);
    if (!this.#dirty || this.#closed) return;
    if (this.#sending && !keepalive) {
      this.#schedule(DEBOUNCE_MS / 4);
      return;
    }
    const content = this.content;
    this.#dirty = false;
    this.#sending = this.api.saveDraft(this.assignment, content, { keepalive });
    const answer = await this.#sending;
    this.#sending = null;
    if (this.#closed) return;
    if (answer.ok) this.#saved(content);
    else this.#failed(answer);
  }

  // Waits for a draft that is on its way, so that it can't arrive after the answer.
  async close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#sending;
  }

  reopen() {
    this.#closed = false;
    this.#dirty = true;
    this.#schedule(RETRY_MS);
  }

  #saved(content) {
    if (this.#dirty) return;
    this.shelf.put("draft", this.assignment, { content, synced: true });
    this.onState("Draft saved");
  }

  #failed(answer) {
    this.#dirty = true;
    if ([404, 409].includes(answer.status)) {
      this.onState("Answered or skipped in another tab; kept in this browser");
      return;
    }
    const isSignedOut = [401, 403].includes(answer.status);
    this.onState(isSignedOut ? "Kept in this browser: you are signed out" : "Kept in this browser; saving again soon");
    this.#schedule(RETRY_MS);
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), delay);
  }
}

function names() {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}
