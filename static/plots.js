// What every chart shares: where it is put, and how its numbers read.

export const percent = (share) => `${Math.round(share * 100)} %`;
export const significant = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4)));

// The inline <style> that Plot adds is in record.css; the content policy would refuse it here.
export function place(box, ...charts) {
  for (const chart of charts) for (const style of chart.querySelectorAll("style")) style.remove();
  box.replaceChildren(...charts);
}
