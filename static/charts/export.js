// A chart as a file: SVG that stands alone (colours of the light page written out, links with their full address), or
// the same drawn on a canvas at twice its size.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

export async function save(svg, kind, name) {
  const text = standalone(svg);
  if (kind === "svg") return download(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
  return download(await png(text, svg), `${name}.png`);
}

export function standalone(svg) {
  const copy = svg.cloneNode(true);
  const height = Number(copy.getAttribute("height"));
  const width = Number(copy.getAttribute("width"));
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ width, height, fill: "var(--surface)" })) paper.setAttribute(key, value);
  copy.prepend(paper);
  for (const link of copy.querySelectorAll("a")) {
    link.removeAttributeNS("http://www.w3.org/1999/xlink", "href");
    link.setAttribute("href", new URL(link.getAttribute("href"), window.location.origin).href);
  }
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("color", "var(--ink)");
  copy.setAttribute("font-family", FONT);
  return resolved(new XMLSerializer().serializeToString(copy));
}

// var(--token) becomes the token's light value; tokens may name each other.
function resolved(text) {
  const style = getComputedStyle(document.documentElement);
  const value = (token) => {
    const found = style.getPropertyValue(token).trim();
    return found.replace(/^light-dark\(\s*([^,]+),.*\)$/s, "$1").trim();
  };
  let before;
  do {
    before = text;
    text = text.replace(/var\((--[a-z0-9-]+)\)/g, (_, token) => value(token));
  } while (text !== before);
  return text;
}

async function png(text, svg) {
  const image = new Image();
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 2 * svg.getAttribute("width");
    canvas.height = 2 * svg.getAttribute("height");
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
