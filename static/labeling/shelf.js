// What this browser keeps for one person in one project: drafts, answers that are not confirmed, choices.

const KEEP_MS = 30 * 24 * 3600 * 1000;
const PREFIX = "hone";

export class Shelf {
  constructor(user, project) {
    this.scope = `${user}:${project}`;
    this.browser = this.#browser();
    this.#sweep();
  }

  // False where the storage is full or refused, even after drafts that the server has were cleared away.
  put(kind, assignment, value) {
    const name = this.name(kind, assignment);
    const text = JSON.stringify({ ...value, kept_at: Date.now() });
    return write(name, text) || (this.#makeRoom(name) && write(name, text));
  }

  get(kind, assignment) {
    return read(this.name(kind, assignment));
  }

  drop(kind, assignment) {
    try {
      localStorage.removeItem(this.name(kind, assignment));
    } catch {
      // nothing was kept where nothing can be removed
    }
  }

  // Answers that were sent and never confirmed, oldest first.
  unconfirmed() {
    const start = this.name("pending", "");
    const kept = names().filter((name) => name.startsWith(start)).map(read);
    return kept.filter(Boolean).sort((a, b) => a.kept_at - b.kept_at);
  }

  name(kind, assignment) {
    return `${PREFIX}:${kind}:${this.scope}:${assignment}`;
  }

  // The same in all tabs of this browser: their drafts are numbered together.
  #browser() {
    const name = `${PREFIX}:browser`;
    const known = read(name);
    if (known) return known;
    const made = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    write(name, JSON.stringify(made));
    return made;
  }

  #makeRoom(except) {
    const spare = names().filter((name) => name.startsWith(`${PREFIX}:draft:`) && name !== except && read(name)?.synced);
    for (const name of spare) localStorage.removeItem(name);
    return spare.length > 0;
  }

  #sweep() {
    for (const name of names()) {
      if (/^hone:(draft|aside):/.test(name) && Date.now() - (read(name)?.kept_at ?? 0) > KEEP_MS) localStorage.removeItem(name);
    }
  }
}

function write(name, text) {
  try {
    localStorage.setItem(name, text);
    return true;
  } catch {
    return false;
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
