"""From submit to the next task painted, in a real Chromium with added network delay; the budget is a p95 of 150 ms.

    python -m benchmarks.labeling_page --tasks 200 --delay-ms 150 [--postgres]

Two web processes serve rankings of four answers. Each request of the page waits for the delay on top of the server's
time. A script ranks by keys and thinks for --think-ms before it submits; the clock runs in the page, from the key to
the second animation frame after the next task stands there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests import services
from tests.browser.conftest import ARGUMENTS, CHROMIUM, PASSWORD

CLOCK = """() => {
  window.waits = [];
  let pressed = null;
  addEventListener('keydown', (event) => { if (event.key === 'Enter') pressed = performance.now(); }, true);
  const shown = () => requestAnimationFrame(() => requestAnimationFrame(() => {
    if (pressed !== null) window.waits.push(performance.now() - pressed);
    pressed = null;
  }));
  new MutationObserver(shown).observe(document.querySelector('#workspace'), {attributeFilter: ['data-assignment']});
}"""
NUM_WARM_UP = 5


def measure(*, url: str, num_tasks: int, delay_ms: int, think_ms: int) -> list[float]:
    """Milliseconds from submit to the next task painted, one per task."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, url)
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        network.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": delay_ms, "downloadThroughput": -1, "uploadThroughput": -1},
        )
        page.goto(f"{url}/p/bench/label/")
        page.wait_for_selector("#workspace[data-assignment]")
        page.evaluate(CLOCK)
        for number in range(1, NUM_WARM_UP + num_tasks + 1):
            page.wait_for_timeout(think_ms)
            for key in ("1", "2", "3", "4", "Enter"):
                page.keyboard.press(key)
            page.wait_for_function("number => window.waits.length === number", arg=number)
        waits: list[float] = page.evaluate("window.waits")
        browser.close()
    return waits[NUM_WARM_UP:]


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Username").fill("labeler")
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_label("Password").press("Enter")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--delay-ms", type=int, default=150)
    parser.add_argument("--think-ms", type=int, default=1_000)
    parser.add_argument("--postgres", action="store_true", help="instead of SQLite")
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(services.postgres()) if given.postgres else ""
        var = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(services.servers(num=1, database_url=database, var=var, WEB_CONCURRENCY="2"))
        servers.run("-m", "tests.browser", "world", "people")
        servers.run("-m", "tests.browser", "kinds", "same", "bench", "four", str(given.tasks + NUM_WARM_UP + 2))
        waits = measure(url=servers.urls[0], num_tasks=given.tasks, delay_ms=given.delay_ms, think_ms=given.think_ms)
    shown = {
        "database": "PostgreSQL" if given.postgres else "SQLite", "tasks": len(waits), "delay_ms": given.delay_ms,
        "p50_ms": round(statistics.median(waits)), "p95_ms": round(percentile(waits, 0.95)),
        "max_ms": round(max(waits)),
    }  # fmt: skip
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
