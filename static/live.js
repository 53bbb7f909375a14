// Live parts: htmx asks, the server answers 304 while nothing has changed, and what a reader has opened stays open.

const etags = new WeakMap();

document.addEventListener("htmx:configRequest", (event) => {
  const etag = etags.get(event.detail.elt);
  if (etag && event.detail.verb === "get") event.detail.headers["If-None-Match"] = etag;
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (xhr.status === 304) {
    event.detail.shouldSwap = false;
    event.detail.isError = false;
    return;
  }
  const etag = xhr.getResponseHeader("ETag");
  if (etag && requestConfig) etags.set(requestConfig.elt, etag);
  remember(event.detail.target);
});

document.addEventListener("htmx:afterSwap", (event) => {
  restore(event.detail.target);
  followState(event.detail.target);
});

// <details data-keep="name"> keeps its state, and a log that was scrolled to its end follows it.
const kept = new Map();

function remember(target) {
  kept.clear();
  for (const details of target.querySelectorAll("details[data-keep]")) kept.set(details.dataset.keep, details.open);
}

function restore(target) {
  for (const details of target.querySelectorAll("details[data-keep]")) {
    if (kept.has(details.dataset.keep)) details.open = kept.get(details.dataset.keep);
    const log = details.querySelector(".log");
    if (log) log.scrollTop = log.scrollHeight;
  }
}

// <form data-while="queued running"> has its button enabled while the state shown is one of these.
function followState(target) {
  const state = target.querySelector("[data-state]")?.dataset.state;
  if (!state) return;
  for (const form of document.querySelectorAll("form[data-while]")) {
    form.querySelector("button").disabled = !form.dataset.while.split(" ").includes(state);
  }
}

// <a data-key="j"> is followed by that key, unless a field has the focus.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
});
