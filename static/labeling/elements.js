// Making elements, and numbers in the language of the page.

export function template(id) {
  return document.getElementById(`${id}-template`).content.cloneNode(true);
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function number(value, digits = 0) {
  return value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: digits });
}
