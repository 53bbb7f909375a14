// The labeling page: its parts, put together, and the keys and buttons that reach them.

import { Api } from "./labeling/api.js";
import { Banners } from "./labeling/banners.js";
import { Bar } from "./labeling/bar.js";
import { ActiveClock } from "./labeling/clock.js";
import { showKeys } from "./labeling/dialogs.js";
import { Flow } from "./labeling/flow.js";
import { command } from "./labeling/keys.js";
import { Notices } from "./labeling/notices.js";
import { Outbox } from "./labeling/outbox.js";
import { Stage } from "./labeling/stage.js";
import { Shelf } from "./labeling/shelf.js";
import { Supply } from "./labeling/supply.js";
import { Undo } from "./labeling/undo.js";

function labelingPage({ dataset }) {
  const api = new Api(dataset.next.replace(/\/next$/, ""));
  const shelf = new Shelf(dataset.user, dataset.project);
  const bar = new Bar(shelf);
  const clock = new ActiveClock();
  const notices = new Notices(part("notices"), part("announcer"));
  const undo = new Undo({ button: part("undo-button"), shelf, act: () => flow.takeBack() });
  const flow = new Flow({ api, shelf, bar, clock, notices, undo });
  const stage = new Stage({ api, shelf, bar, clock, decline: () => flow.decline(), giveBack: () => flow.giveBack(), fetchNext: () => flow.fetchNext() });
  const outbox = new Outbox({ api, shelf, onReply: (sent) => flow.replied(sent), onStuck: () => flow.stuck() });
  const banners = new Banners({
    notices,
    outbox,
    login: dataset.login,
    retry: () => outbox.send(),
    goBack: (refused) => flow.goBackTo(refused),
    leave: (refused) => flow.leave(refused),
    isWaiting: () => stage.isWaiting,
  });
  const held = () => (stage.work?.isConfirmed && !stage.work.task.revises ? stage.work.assignment : null);
  const supply = new Supply({ api, clock, held, mayFetch: () => Boolean(stage.work) && outbox.isEmpty });
  flow.attach({ stage, outbox, supply, banners });
  return { flow, stage, bar };
}

function listen({ flow, stage, bar }) {
  const acts = {
    submit: () => flow.submit(),
    skip: () => flow.skip(),
    undo: () => flow.takeBack(),
    keys: () => showKeys(stage.work?.task),
    guidelines: () => bar.toggleGuidelines(),
  };
  addEventListener("keydown", (event) => onKey(event, stage, acts));
  part("submit-button").addEventListener("click", acts.submit);
  part("skip-button").addEventListener("click", acts.skip);
  part("keys-button").addEventListener("click", acts.keys);
  part("keep-button").addEventListener("click", () => flow.keepAsItWas());
  part("skip-cancel").addEventListener("click", () => part("skip-dialog").close(""));
}

function onKey(event, { work, isOpen }, acts) {
  if (document.querySelector("dialog[open]")) return;
  const found = command(event);
  if (!found) return;
  // Behind a content warning no key may read, choose or rank.
  const isOurs = found.name in acts || (work?.panel.root.isConnected && (work.reading.act(found) || (isOpen && work.panel.act(found, event.target))));
  if (isOurs) event.preventDefault();
  if (found.name in acts && !event.repeat) acts[found.name]();
}

function part(id) {
  return document.getElementById(id);
}

function inlined(id) {
  return JSON.parse(part(id).textContent);
}

const page = labelingPage(part("labeling"));
listen(page);
if (inlined("paused-data") !== null) page.stage.pause(inlined("paused-data"));
else page.flow.begin({ task: inlined("task-data"), progress: inlined("progress-data"), why_nothing: inlined("why-data") });
