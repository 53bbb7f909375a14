// Dialogs of the labeling page. Each is opened by a function that resolves once it is closed.

import { element } from "./elements.js";
import { hintOf } from "./choices.js";
import { keysOf } from "./help.js";

function part(id) {
  return document.getElementById(id);
}

function closed(dialog) {
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

// {reason, note}, or null where the person went back. Nothing is chosen beforehand: one digit chooses, Enter skips.
export async function askToSkip(task) {
  const [dialog, form] = [part("skip-dialog"), part("skip-form")];
  const reasons = [...task.skip_reasons, { name: "", label: gettext("Something else") }];
  part("skip-reasons").replaceChildren(...reasons.map(reasonOf));
  form.reset();
  noteIsRequired(form);
  form.onchange = () => noteIsRequired(form);
  form.onkeydown = (event) => chooseByDigit(event, form);
  dialog.returnValue = "";
  dialog.showModal();
  if ((await closed(dialog)) !== "skip") return null;
  const given = new FormData(form);
  const note = given.get("note").trim();
  return given.get("reason") ? { reason: given.get("reason"), ...(note && { note }) } : { reason: note };
}

function reasonOf({ name, label }, index) {
  const row = element("label");
  const radio = element("input");
  Object.assign(radio, { type: "radio", name: "reason", value: name, required: true });
  row.append(radio, hintOf(String(index + 1)), element("span", "", label));
  return row;
}

function noteIsRequired(form) {
  const chosen = form.querySelector("[name=reason]:checked");
  part("skip-note").required = chosen?.value === "";
}

function chooseByDigit(event, form) {
  if (event.target.id === "skip-note" || !/^[1-9]$/.test(event.key)) return;
  const radio = form.querySelectorAll("[name=reason]")[Number(event.key) - 1];
  if (!radio) return;
  event.preventDefault();
  radio.checked = true;
  noteIsRequired(form);
  (radio.value === "" ? part("skip-note") : radio).focus();
}

// Resolves once the person says that they have read them; there is no other way out.
export async function mustRead({ html }) {
  const dialog = part("read-dialog");
  part("read-text").innerHTML = html; // made harmless by the server (rlhf/render.py)
  dialog.oncancel = (event) => event.preventDefault();
  do {
    dialog.returnValue = "";
    dialog.showModal();
    part("read-text").focus();
  } while ((await closed(dialog)) !== "read");
}

export function showKeys(task) {
  part("keys-list").replaceChildren(...keysOf(task).map(keyRow));
  part("keys-dialog").showModal();
}

function keyRow([keys, meaning]) {
  const row = element("div");
  const names = element("dt");
  keys.forEach((key) => names.append(element("kbd", "", key), " "));
  row.append(names, element("dd", "", meaning));
  return row;
}
