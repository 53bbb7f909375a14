// Answers on their way: sent in order, in the background, and kept in this browser until the server confirms each.

const RETRY_MS = 5_000;

export class Outbox {
  #sending = null;
  #waiting = null;

  // onStored(pending, reply), onRefused(), onStuck() and onEmpty() say what became of them.
  constructor({ api, shelf, ...handlers }) {
    Object.assign(this, { api, shelf, ...handlers, stuck: null });
    this.items = shelf.unconfirmed().filter(({ refusal }) => !refusal);
    this.refused = shelf.unconfirmed().filter(({ refusal }) => refusal);
    addEventListener("online", () => this.send());
    document.addEventListener("visibilitychange", () => document.hidden || this.send());
  }

  get isEmpty() {
    return this.items.length === 0;
  }

  // The same answer to the same task keeps its id: a retry is stored once.
  add(pending) {
    const before = this.shelf.get("pending", pending.assignment);
    const isSame = before && JSON.stringify(before.answer) === JSON.stringify(pending.answer) && before.revises === pending.revises;
    const item = { ...pending, submission_id: isSame ? before.submission_id : newId() };
    this.#keep(item);
    this.items.push(item);
  }

  // What the page shows goes with the last answer: the server confirms it together with that answer.
  hold(assignment) {
    const last = this.items.at(-1);
    if (!last) return;
    last.holds = assignment;
    this.#keep(last);
  }

  // Where the storage is full the answer is worth more than the task beside it.
  #keep(item) {
    const { task, ...alone } = item;
    return this.shelf.put("pending", item.assignment, item) || this.shelf.put("pending", item.assignment, alone);
  }

  // Resolves once every answer is stored or refused, or the server can't be reached.
  send() {
    clearTimeout(this.#waiting);
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null));
    return this.#sending;
  }

  async #sendAll() {
    while (this.items.length && (await this.#sendFirst()));
  }

  async #sendFirst() {
    const [item] = this.items;
    const { assignment, submission_id, answer, active_s, revises, holds } = item;
    const reply = await this.api.submit(assignment, { submission_id, ...answer, active_s, revises, holds });
    const isStored = reply.ok || saysTheSame(reply, answer, submission_id);
    if (!isStored && !isRefusal(reply)) return this.#stop(reply);
    this.stuck = null;
    this.items.shift();
    if (isStored) this.shelf.drop("pending", assignment);
    else this.#refuse(item, reply);
    await this.onReply({ item, reply, isStored });
    return true;
  }

  #stop(reply) {
    this.stuck = reply;
    this.onStuck(reply);
    if (reply.status === 0 || reply.status >= 500 || reply.status === 429) this.#waiting = setTimeout(() => this.send(), RETRY_MS);
    return false;
  }

  #refuse(item, reply) {
    const refused = { ...item, refusal: { status: reply.status, data: reply.data } };
    this.#keep(refused);
    this.refused.push(refused);
  }

  // The person has seen a refused answer and lets it go, or goes back to its task.
  settle(refused) {
    this.refused = this.refused.filter((other) => other !== refused);
    this.shelf.drop("pending", refused.assignment);
  }
}

// A conflict that says what we said is a success: the first try had arrived.
function saysTheSame(reply, answer, submission_id) {
  const stored = reply.status === 409 && reply.data?.stored;
  return Boolean(stored) && (stored.submission_id === submission_id || sorted(stored.answer) === sorted(answer));
}

function sorted(value) {
  return JSON.stringify(value, (_, inner) => (inner && typeof inner === "object" && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner));
}

// The server understood and said no; trying again would not help.
function isRefusal({ status }) {
  return [400, 404, 409, 410, 413].includes(status);
}

function newId() {
  // crypto.randomUUID exists only on https and loopback; a labeler in a local network may have neither.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
