// What every chart shares: where it is put, what a screen reader hears of it, and how its numbers read.

export const percent = (share) => `${Math.round(share * 100)} %`;
export const significant = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4)));

export function place(box, ...charts) {
  for (const chart of charts) {
    // The inline <style> that Plot adds is in record.css; the content policy would refuse it here.
    for (const style of chart.querySelectorAll("style")) style.remove();
    // Plot names its marks and leaves their roles out: without one, a name is not allowed and not read.
    for (const mark of chart.querySelectorAll("g[aria-label]:not([role])")) mark.setAttribute("role", "group");
    for (const dot of chart.querySelectorAll(":is(circle, path)[aria-label]:not([role])")) dot.setAttribute("role", "img");
  }
  box.replaceChildren(...charts);
}
