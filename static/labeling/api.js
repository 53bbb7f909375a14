// Requests to the labeling API. Every call ends in {ok, status, data}; status 0 means that no answer came.

const TIMEOUT_MS = 20_000;
const MAX_KEEPALIVE = 20_000; // characters; browsers take 64 KiB for all such requests together

function csrfToken() {
  // Read at each call: signing in again in another tab changes it.
  return document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1] ?? "";
}

export class Api {
  constructor(root) {
    this.root = root;
  }

  next(holds) {
    return this.#send("POST", "/next", { holds });
  }

  prefetch() {
    return this.#send("POST", "/prefetch", {});
  }

  saveDraft(assignment, draft, { keepalive, follows }) {
    return this.#send("PUT", `/assignments/${assignment}/draft`, { draft, follows }, keepalive);
  }

  renew(assignment) {
    return this.#send("POST", `/assignments/${assignment}/renew`, {});
  }

  // Goes on while the tab closes, where it is small enough for the browser to allow that.
  submit(assignment, answer) {
    return this.#send("POST", `/assignments/${assignment}/submit`, answer, JSON.stringify(answer).length < MAX_KEEPALIVE);
  }

  skip(assignment, skipped) {
    return this.#send("POST", `/assignments/${assignment}/skip`, skipped);
  }

  undo() {
    return this.#send("POST", "/undo", {});
  }

  haveRead({ protocol, revision }) {
    return this.#send("POST", `/guidelines/${protocol}/read`, { revision });
  }

  declineWarned() {
    return this.#send("PUT", "/settings", { declines_warned: true });
  }

  async #send(method, path, body, keepalive = false) {
    try {
      const response = await fetch(this.root + path, {
        method,
        keepalive,
        credentials: "same-origin",
        redirect: "manual",
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": csrfToken() },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      return { ok: response.ok, status: response.status, data: parsed(text) };
    } catch {
      return { ok: false, status: 0, data: null };
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
