// What is told about answers that are under way: not saved yet, refused, or given for a task that went to somebody else.
// A banner never takes the focus from a person who writes, and stays until it is answered.

import { answerAsText } from "./wording.js";

export class Banners {
  // leave(refused), goBack(refused), retry(): what the buttons do.
  constructor({ notices, outbox, login, ...acts }) {
    Object.assign(this, { notices, outbox, login, ...acts, own: null });
  }

  // One at a time: what asks for a decision comes first.
  paint() {
    const [refused] = this.outbox.refused;
    if (refused) this.notices.show(this.#refused(refused));
    else if (this.outbox.stuck && !this.outbox.isEmpty) this.notices.show(this.#stuck(this.outbox.stuck));
    else if (this.own) this.notices.show(this.own);
    else this.notices.clear();
  }

  // Something about the page itself: {title, text, quotes, actions}; null takes it away.
  say(own) {
    this.own = own;
    this.paint();
  }

  // A request that the person waits for did not come through.
  explain(reply, { title, retry }) {
    const { text, link } = this.#why(reply, reply.data?.detail);
    this.say({ title, text, actions: [...link, again(link, retry)] });
  }

  #stuck(reply) {
    const { items } = this.outbox;
    const title = ngettext("%s answer is not saved yet", "%s answers are not saved yet", items.length);
    const { text, link } = this.#why(reply, reply.data?.detail);
    return {
      title: interpolate(title, [items.length]),
      text,
      quotes: items.map(quoteOf),
      actions: [...link, again(link, this.retry), copy(items)],
      takesFocus: this.isWaiting(),
    };
  }

  #refused(item) {
    const { status, data } = item.refusal;
    const isTaken = status === 409;
    const quotes = [{ title: gettext("What was not stored"), text: quoteOf(item).text }];
    if (isTaken && data?.stored) quotes.unshift({ title: gettext("What is stored"), text: answerAsText(data.stored.answer, item.task?.asks) });
    const goBack = { label: gettext("Go back to that task"), primary: true, act: () => this.goBack(item) };
    const leave = { label: gettext("Leave it so and go on"), primary: isTaken, act: () => this.leave(item) };
    return {
      title: isTaken ? gettext("That task has an answer of yours already") : gettext("An answer of yours was refused"),
      text: data?.detail ?? interpolate(gettext("The server answered %s."), [status]),
      quotes,
      actions: [...(status === 400 && item.task ? [goBack] : []), leave, copy([item])],
      takesFocus: this.isWaiting(),
    };
  }

  #why({ status }, detail) {
    if (status === 0) return { text: gettext("The server did not answer. What you entered is kept in this browser."), link: [] };
    if (status === 401 || (status === 403 && !/expected the role/.test(detail ?? ""))) {
      const text = gettext("You are signed out. Sign in in a new tab, then come back here: what you entered is kept.");
      return { text, link: [{ label: gettext("Sign in in a new tab"), href: this.login, primary: true }] };
    }
    return { text: [detail, gettext("What you entered is kept in this browser.")].filter(Boolean).join(" "), link: [] };
  }
}

function quoteOf({ answer, task, assignment }) {
  const first = task?.prompt?.at(-1)?.content ?? String(assignment);
  const about = first.length > 80 ? `${first.slice(0, 80)}…` : first;
  return { title: about, text: answerAsText(answer, task?.asks) };
}

// Where there is something to do first, trying again comes second.
function again(link, act) {
  return { label: gettext("Try again"), primary: !link.length, act };
}

function copy(items) {
  return { label: gettext("Copy the text"), act: () => navigator.clipboard?.writeText(items.map((item) => quoteOf(item).text).join("\n\n")) };
}
