// Making elements.

export function template(id) {
  return document.getElementById(`${id}-template`).content.cloneNode(true);
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
