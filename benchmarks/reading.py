"""How long two 3,000-word answers take: rendered by the server, opened on the page, their differences marked.

`python -m benchmarks.reading [--rounds 10]` starts a web server with a database of its own and a Chromium. Each answer
has tables, code, LaTeX and hostile HTML; "edited" replaces one word in 25, "independent" shares the vocabulary only. A
time on the page ends with the frame in which the result is painted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from playwright.sync_api import Page, expect, sync_playwright
from rich.console import Console
from rich.table import Table

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from rlhf import render  # noqa: E402
from tests import services  # noqa: E402
from tests.browser.conftest import ARGUMENTS, CHROMIUM, PASSWORD  # noqa: E402
from tests.browser.long_answers import long_answer  # noqa: E402

TIMED = """async ([key, rounds]) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const times = [];
  for (let round = 0; round < 2 * rounds; round += 1) {
    await painted();
    const started = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await painted();
    if (round % 2 === 0) times.push(performance.now() - started);
  }
  return times;
}"""


def main() -> None:
    rounds = _arguments().rounds
    table = Table("what", "p50 ms", "max ms", title="Two answers of 3,000 words")
    for what, times in {**server_times(rounds), **page_times(rounds)}.items():
        table.add_row(what, f"{statistics.median(times):.1f}", f"{max(times):.1f}")
    Console().print(table)


def server_times(rounds: int) -> dict[str, list[float]]:
    texts = [long_answer(seed=seed) for seed in range(rounds + 1)]
    render.render(texts.pop())  # what is loaded once per process
    return {
        "server: render one, first time": [_ms(render.render, text) for text in texts],
        "server: render one again": [_ms(render.render, text) for text in texts],
    }


def page_times(rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as var, services.servers(num=1, database_url="", var=Path(var)) as running:
        for arguments in (["world", "people"], ["long_answers"]):
            running.run("-m", "tests.browser", *arguments)
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS).new_page()
            _sign_in(page, running.urls[0])
            for slug, kind in (("long", "edited"), ("independent", "independent")):
                times[f"page: open the {kind} pair"] = [_opened(page, f"{running.urls[0]}/p/{slug}/label/")]
                times[f"page: mark differences of the {kind} pair"] = page.evaluate(TIMED, ["d", rounds])
    return times


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Username").fill("labeler")
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_label("Password").press("Enter")


def _opened(page: Page, address: str) -> float:
    started = time.perf_counter()
    page.goto(address)
    expect(page.locator(".reading .completion .prose").last).to_be_visible()
    return (time.perf_counter() - started) * 1_000


def _ms(function: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - started) * 1_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
