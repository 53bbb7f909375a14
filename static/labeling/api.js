// Requests to the labeling API. Every call ends in {ok, status, data}; status 0 means that no answer came.

const TIMEOUT_MS = 20_000;

function csrfToken() {
  // Read at each call: signing in again in another tab changes it.
  return document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1] ?? "";
}

export class Api {
  constructor(root) {
    this.root = root;
  }

  next() {
    return this.#send("POST", "/next", {});
  }

  saveDraft(assignment, draft, { keepalive = false } = {}) {
    return this.#send("PUT", `/assignments/${assignment}/draft`, { draft }, keepalive);
  }

  submit(assignment, answer) {
    return this.#send("POST", `/assignments/${assignment}/submit`, answer);
  }

  skip(assignment, reason) {
    return this.#send("POST", `/assignments/${assignment}/skip`, { reason });
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
        signal: keepalive ? undefined : AbortSignal.timeout(TIMEOUT_MS),
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
