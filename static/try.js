// Ctrl+Enter (on a Mac also Command+Enter) in the prompt asks, as the button does.

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest?.(".try-form");
  if (!form) return;
  event.preventDefault();
  form.requestSubmit();
});
