// Panes that are longer than their place: they can be reached by Tab, and they scroll together, each by its own share.

export class Panes {
  #set = new Map(); // where we have put a pane ourselves; the scroll event that follows is not a person's
  #observer = new ResizeObserver(() => this.measure());

  constructor(panes, { onMeasured }) {
    Object.assign(this, { panes, onMeasured });
    this.isTogether = true;
    for (const pane of panes) {
      pane.addEventListener("scroll", () => this.#follow(pane), { passive: true });
      this.#observer.observe(pane);
    }
  }

  get long() {
    return this.panes.filter((pane) => pane.scrollHeight > pane.clientHeight + 1 && pane.clientHeight > 0);
  }

  get canGoTogether() {
    return this.long.length > 1;
  }

  // Called by itself when a size changes; to be called when a content does.
  measure() {
    const long = this.long;
    for (const pane of this.panes) {
      if (long.includes(pane)) pane.tabIndex = 0;
      else pane.removeAttribute("tabindex");
    }
    this.onMeasured();
  }

  toggle(leader) {
    this.isTogether = !this.isTogether;
    if (this.isTogether) this.#lead(leader);
  }

  // False where the pane has no page further in that direction: then the window may scroll.
  page(pane, by) {
    const before = pane.scrollTop;
    pane.scrollTop += by * pane.clientHeight * 0.85;
    return pane.scrollTop !== before;
  }

  close() {
    this.#observer.disconnect();
  }

  #follow(pane) {
    const own = this.#set.get(pane);
    this.#set.delete(pane);
    if (this.isTogether && (own === undefined || Math.abs(own - pane.scrollTop) > 1)) this.#lead(pane);
  }

  #lead(leader) {
    const share = leader.scrollTop / (leader.scrollHeight - leader.clientHeight || 1);
    for (const pane of this.long) {
      if (pane === leader) continue;
      const before = pane.scrollTop;
      pane.scrollTop = share * (pane.scrollHeight - pane.clientHeight);
      if (pane.scrollTop !== before) this.#set.set(pane, pane.scrollTop);
    }
  }
}
