"""Talking to versions in a real browser: asked by key, answered live, read side by side; and rivals on their page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser import axe
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
PROMPT = "My neighbour watered my plants for three weeks. Write her a short thank-you note; she hates fuss."


@pytest.fixture(scope="session")
def slug(servers: services.Servers) -> str:
    servers.run("-m", "tests.browser", "world", "research", "talk")
    return "talk"


def look(person: Visitor, request: pytest.FixtureRequest, name: str, width: int) -> None:
    """axe finds nothing, all fits, the console has nothing to say; with --screens the pictures are kept."""
    assert axe.violations(person.page) == []
    assert person.page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert person.complaints == []
    if folder := request.config.getoption("--screens"):
        for color_scheme in ("light", "dark"):
            person.page.emulate_media(color_scheme=color_scheme)  # type: ignore[arg-type]
            person.page.screenshot(path=Path(folder) / f"{name}-{width}-{color_scheme}.png", full_page=True)


def ask_by_key(page: Page) -> None:
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    page.keyboard.type(PROMPT)
    page.get_by_label("Version").select_option("v2")
    page.get_by_label("Beside it").select_option("v1")
    page.get_by_label("Temperature").fill("0.7")
    page.get_by_label("Answers of each").fill("2")
    page.get_by_role("textbox", name="Prompt").press("Control+Enter")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_prompt_is_asked_by_key_answered_live_and_read_side_by_side(
    visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]], slug: str, width: int,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    person = visitor(width=width)
    person.sign_in("researcher")
    page = person.go(f"/p/{slug}/try/")
    look(person, request, "try", width)
    ask_by_key(page)
    expect(page.get_by_text("Waiting for a worker")).to_have_count(2)
    look(person, request, "try-waiting", width)

    assert world(slug, module="talk") == {"num_ended": 2}
    expect(page.get_by_text("The basil has doubled.")).to_have_count(4)  # without a reload
    look(person, request, "try-answered", width)
    page.locator("body").press("d")
    expect(page.locator("ins").first).to_be_visible()
    assert {text.strip() for text in page.locator("del").all_inner_texts()} == {"v2"}
    assert {text.strip() for text in page.locator("ins").all_inner_texts()} == {"v1"}
    look(person, request, "try-differences", width)
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value(PROMPT)
    expect(page.locator("a[aria-current=page]", has_text="My neighbour")).to_have_count(1)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_manager_brings_a_rival(
    visitor: Callable[..., Visitor], slug: str, width: int, request: pytest.FixtureRequest
) -> None:
    person = visitor(width=width)
    person.sign_in("admin")
    page = person.go(f"/p/{slug}/versions/")
    look(person, request, "versions", width)
    form = page.get_by_role("region", name="A model behind an endpoint")
    form.get_by_label("Name").fill("v7")
    form.get_by_label("Address").fill("https://models.example/v1")
    form.get_by_label("Model").fill("large-4")
    form.get_by_role("button").click()
    expect(page.get_by_text("expected one that the loop doesn't give")).to_be_visible()
    look(person, request, "versions-refused", width)
    form.get_by_label("Name").fill(f"large-{width}")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading", name=f"large-{width}")).to_be_visible()
    look(person, request, "rival", width)
