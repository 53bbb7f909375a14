// What every chart shares: where it is put, what a screen reader hears of it, and how its numbers read.

export const percent = (share) => `${Math.round(share * 100)} %`;
export const significant = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4)));

export function place(box, ...charts) {
  for (const chart of charts) {
    // The inline <style> that Plot adds is in record.css; the content policy would refuse it here.
    for (const style of chart.querySelectorAll("style")) style.remove();
    // Plot names its marks and leaves their roles out: without one, a name is not allowed and not read.
    for (const mark of chart.querySelectorAll("g[aria-label]:not([role])")) mark.setAttribute("role", "group");
    // Plot writes only xlink:href, and names the mark inside a link instead of the link.
    for (const link of chart.querySelectorAll("a")) {
      const mark = link.querySelector("[aria-label]");
      link.setAttribute("href", link.getAttributeNS("http://www.w3.org/1999/xlink", "href"));
      if (!mark) continue;
      link.setAttribute("aria-label", mark.getAttribute("aria-label"));
      mark.removeAttribute("aria-label");
    }
    for (const dot of chart.querySelectorAll(":is(circle, path)[aria-label]:not([role])")) dot.setAttribute("role", "img");
  }
  box.replaceChildren(...charts);
}
