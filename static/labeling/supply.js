// The next task, fetched before it is needed, and the lease on this one: both kept up only while somebody works here.

const FRESH_MS = 55_000; // the server reserves a task for 60 s
const RESERVE_MS = 50_000;
const RENEW_MS = 60_000;
const LOOK_MS = 5_000;

export class Supply {
  #task = null;
  #since = 0;
  #turn = 0; // a reply to an earlier question than the last is stale
  #isAsking = false;
  #renewed = 0;

  // held() is the assignment on the page whose lease is ours, or null; mayFetch() says whether a next task could be used.
  constructor({ api, clock, held, mayFetch }) {
    Object.assign(this, { api, clock, held, mayFetch });
    setInterval(() => this.#tick(), LOOK_MS);
  }

  put(task) {
    this.#turn += 1;
    this.#task = task ?? null;
    this.#since = performance.now();
  }

  // The prefetched task if it is still reserved for us and no question about it is under way.
  take() {
    const isFresh = !this.#isAsking && performance.now() - this.#since < FRESH_MS;
    const task = isFresh ? this.#task : null;
    this.put(null);
    return task;
  }

  async fetch() {
    if (this.#isAsking || !this.mayFetch()) return;
    this.#isAsking = true;
    const turn = this.#turn;
    this.#since = performance.now();
    const reply = await this.api.prefetch();
    this.#isAsking = false;
    if (turn === this.#turn) this.put(reply.ok ? reply.data.prefetched : null);
  }

  leased() {
    this.#renewed = performance.now();
  }

  #tick() {
    if (!this.clock.isActive) return;
    const now = performance.now();
    if (now - this.#since >= RESERVE_MS) this.fetch();
    if (now - this.#renewed < RENEW_MS || !this.held()) return;
    this.#renewed = now;
    this.api.renew(this.held());
  }
}
