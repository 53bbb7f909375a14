"""The report card of a reward model in a real browser: its charts, for everybody, in each language and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser import axe, cards
from tests.browser.conftest import Visitor
from tests.browser.test_access import CHINESE, ENGLISH, ENGLISH_TEXTS, sign_in

pytestmark = pytest.mark.browser

# Not the page's own words: what people and models are called, and the phrases of answers.
NAMES = re.compile(
    rf"\b(rm2|nats|Rao|Holm|Brier|reward\.scaling_shares|{'|'.join(cards.LABELERS)})|labeler-|Kind answers"
)


@pytest.fixture(scope="session")
def slug(servers: services.Servers) -> str:
    servers.run("-m", "tests.browser", "world", "research", "card")
    return "card"


def open_card(person: Visitor, slug: str) -> Page:
    sign_in(person.go("/login"), "researcher")
    page = person.go(f"/p/{slug}/versions/")
    page.get_by_role("link", name="report card").click()
    expect(page.locator("[data-card=scaling] svg")).to_be_visible()
    return page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("locale", [ENGLISH, CHINESE])
def test_axe_finds_nothing_and_all_fits(
    visitor: Callable[..., Visitor], slug: str, locale: str, width: int, request: pytest.FixtureRequest
) -> None:
    person = visitor(width=width, locale=locale)
    page = open_card(person, slug)
    for summary in page.locator("main details summary").all():
        summary.click()

    assert axe.violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    if locale == CHINESE:
        assert [text for text in page.evaluate(ENGLISH_TEXTS) if re.search("[a-z]{3}", NAMES.sub("", text))] == []
    for color_scheme in ("light", "dark"):
        keep(page, request, f"report-{locale}-{color_scheme}-{width}", color_scheme)
    assert person.complaints == []


def keep(page: Page, request: pytest.FixtureRequest, name: str, color_scheme: Any) -> None:
    if folder := request.config.getoption("--screens"):
        page.emulate_media(color_scheme=color_scheme)
        page.evaluate("() => window.scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_the_charts_say_what_the_tables_say(visitor: Callable[..., Visitor], slug: str) -> None:
    page = open_card(visitor(), slug)
    drawn = cards.drawn()

    def dots(chart: str) -> list[str]:
        found = page.locator(f"[data-card={chart}] svg [aria-label*=' %']")
        return [
            label or "" for label in found.evaluate_all("dots => dots.map((dot) => dot.getAttribute('aria-label'))")
        ]

    overall = drawn["accuracy"]
    first = f"All, all comparisons: {round(100 * overall['mean'])} %, 95 % interval"
    assert dots("slices")[0].startswith(first) and f"{overall['num_pairs']} comparisons" in dots("slices")[0]
    assert len(dots("slices")) == 2 + len(drawn["by_strength"]) + 2 + len(cards.LABELERS)
    assert len(dots("reliability")) == len(drawn["calibration"]["bins"])
    assert [label.split()[0] for label in dots("scaling")] == [str(size) for size in cards.SIZES]
    expect(page.get_by_text("ceiling", exact=True)).to_be_visible()


def test_alarms_stand_on_the_page_of_their_run(visitor: Callable[..., Visitor], slug: str) -> None:
    person = visitor()
    person.sign_in("researcher")
    page = person.go(f"/p/{slug}/runs/")
    page.get_by_role("link", name=re.compile("PPO")).first.click()
    expect(page.get_by_role("list", name="Alarms")).to_contain_text("Step 41: length drifts: found 1.72")
    assert axe.violations(page) == []
