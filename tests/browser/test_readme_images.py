"""The README's pictures: `pytest tests/browser/test_readme_images.py --readme-images VAR`, VAR a demo's folder.

The dashboard shows that demo's own numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MAX_BYTES = 300_000


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--readme-images")
    return Path(given).resolve()


def test_the_labeling_page(visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]], demo: Path) -> None:
    world("ranking", "picture")
    person = visitor(device_scale_factor=2)
    person.sign_in("labeler")
    page = person.go("/p/picture/label/")
    expect(page.locator(".completion")).to_have_count(4)
    for digit in "132":
        page.keyboard.press(digit)
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    _write(page, "labeling.png")


def test_the_dashboard(browser: Browser, demo: Path) -> None:
    with services.servers(num=1, database_url="", var=demo) as running:
        key = json.loads(running.run("-m", "tests.browser", "world", "session", "researcher").splitlines()[-1])["key"]
        context = browser.new_context(viewport={"width": 1280, "height": 720}, device_scale_factor=2)
        context.add_cookies([{"name": "sessionid", "value": key, "url": running.urls[0]}])
        person = Visitor(context, running.urls[0])
        page = person.go("/")
        page.get_by_role("main").get_by_role("link", name="Dashboard").first.click()
        page.wait_for_load_state("networkidle")
        _write(page, "dashboard.png")
        context.close()


def _write(page: Page, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / name
    page.screenshot(path=path)
    assert path.stat().st_size < MAX_BYTES, f"{name}: expected under {MAX_BYTES:,} bytes, found {path.stat().st_size:,}"
