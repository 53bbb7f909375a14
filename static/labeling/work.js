// One task on the page: how it is read, what it is answered with, its draft. A task that was painted before the server
// confirmed its lease keeps its draft in this browser until then.

import { Draft } from "./drafts.js";
import { Notices } from "./notices.js";
import { Panel } from "./panel.js";
import { Reading } from "./reading.js";

export class Work {
  #confirm;

  constructor(task, { api, shelf, isConfirmed, onChange, onRefused, onDraft }) {
    Object.assign(this, { task, api, onChange, isConfirmed });
    this.whenConfirmed = new Promise((resolve) => (this.#confirm = resolve));
    if (isConfirmed) this.confirm();
    const saving = { saveDraft: (...sent) => this.#saveDraft(...sent) };
    this.draft = new Draft({
      api: saving,
      shelf,
      assignment: task.assignment,
      savedAt: task.draft_saved_at,
      revises: task.revises, // a change of a stored answer is kept in this browser until it is submitted
      notices: new Notices(document.getElementById("draft-notice")),
      onState: onDraft,
      onNewer: (content) => this.panel.restore(content),
    });
    this.reading = new Reading(task);
    this.panel = new Panel(task, this.reading, { onChange: () => this.#changed(), onRefused });
    this.panel.restore(this.draft.restored(task.draft));
  }

  get assignment() {
    return this.task.assignment;
  }

  confirm() {
    this.isConfirmed = true;
    this.#confirm();
  }

  close() {
    this.draft.flush({ keepalive: true });
    this.draft.close();
    this.reading.close();
  }

  #changed() {
    this.draft.change(this.panel.content);
    this.onChange();
  }

  async #saveDraft(...sent) {
    await this.whenConfirmed;
    return this.api.saveDraft(...sent);
  }
}
