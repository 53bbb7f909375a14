// The places on the page that take keys: each is one question, or one question about one answer.

export class Zones {
  #list = [];

  // act(command) says "done" (the focus goes where `after` says, or to what is missing), "stay", or "" (not ours).
  add(element, { zone, key = null, act, focus, after = null }) {
    element.dataset.zone = zone;
    if (key) element.dataset.key = key;
    this.#list.push({ element, zone, key, act, focus, after });
    return element;
  }

  at(target) {
    const element = target.closest?.("[data-zone]");
    return this.#list.find((zone) => zone.element === element) ?? null;
  }

  find(zone, key = null) {
    return this.#list.find((other) => other.zone === zone && other.key === key) ?? null;
  }

  // The same question about the answer before or after; without an answer, the question before or after.
  beside({ zone, key }, by) {
    const like = this.#list.filter((other) => (key ? other.zone === zone : !other.key));
    const index = like.findIndex((other) => other.zone === zone && other.key === key);
    return like[(index + by + like.length) % like.length];
  }
}
