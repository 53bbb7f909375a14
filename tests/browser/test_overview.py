"""The overview in a real browser: by keyboard from a cell to two answers, for everybody, exported byte by byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser import axe
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

CHARTS = ("timeline", "forest", "matrix", "slices", "controls", "reliability", "confusion")


@pytest.fixture(scope="session")
def slug(servers: services.Servers) -> str:
    servers.run("-m", "tests.browser", "world", "research", "overview")
    return "overview"


def open_overview(person: Visitor, slug: str) -> Page:
    person.sign_in("researcher")
    page = person.go(f"/p/{slug}/")
    for chart in CHARTS:
        expect(page.locator(f"[data-figure={chart}] .plot svg").first).to_be_visible()
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_all_fits_and_the_console_is_silent(
    visitor: Callable[..., Visitor], slug: str, width: int, request: pytest.FixtureRequest
) -> None:
    person = visitor(width=width)
    page = open_overview(person, slug)
    page.evaluate("() => document.querySelectorAll('main details').forEach((details) => { details.open = true; })")
    assert axe.violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for color_scheme in ("light", "dark"):
        keep(page, request, f"overview-{color_scheme}-{width}", color_scheme)
    assert person.complaints == []


def keep(page: Page, request: pytest.FixtureRequest, name: str, color_scheme: Any) -> None:
    if folder := request.config.getoption("--screens"):
        page.emulate_media(color_scheme=color_scheme)
        page.evaluate("() => window.scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_every_chart_is_reached_by_tab_and_every_mark_says_what_it_is(
    visitor: Callable[..., Visitor], slug: str
) -> None:
    page = open_overview(visitor(), slug)
    page.locator("h1").click()
    reached: dict[str, str] = {}
    for _ in range(400):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => { const at = document.activeElement, figure = at.closest('[data-figure]');"
            " return [figure && at.closest('svg') ? figure.dataset.figure : '', at.ariaLabel ?? '', at.tagName]; }"
        )
        if at[2] == "BODY":
            break
        if at[0]:
            assert at[1], f"a mark of {at[0]} has no name"
            reached.setdefault(at[0], at[1])
    assert set(reached) == set(CHARTS)
    assert reached["matrix"] == re.sub(r"^v1", "v0", reached["matrix"])
    assert re.search(r"95 % interval \d+ % to \d+ %", reached["timeline"])


def test_by_keyboard_a_cell_leads_to_the_two_answers_in_two_activations(
    visitor: Callable[..., Visitor], slug: str
) -> None:
    person = visitor()
    page = open_overview(person, slug)
    cell = page.locator("[data-figure=matrix] svg a").first
    num_prompts = re.search(r"(\d+) prompts", cell.get_attribute("aria-label") or "")
    cell.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert re.search(r"/evaluations/\d+/\?judge=\d+&split=held_out&snapshot=[0-9a-f]{12}$", page.url)
    assert num_prompts is not None
    expect(page.locator(".equal")).to_contain_text(f"Exactly the number: these {num_prompts[1]} pairs come to")
    page.locator("table.pairs tbody a").first.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert re.search(r"/evaluations/\d+/pairs/\d+/", page.url)
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    assert person.complaints == []


@pytest.mark.parametrize("chart", CHARTS)
def test_an_exported_svg_is_the_same_in_any_window(visitor: Callable[..., Visitor], slug: str, chart: str) -> None:
    wide = export(open_overview(visitor(), slug), chart, "svg")
    narrow_page = open_overview(visitor(width=390, color_scheme="dark"), slug)
    assert wide == export(narrow_page, chart, "svg")
    assert b"var(--" not in wide and b"light-dark" not in wide and b'width="' in wide and b"http" in wide


def test_a_png_is_drawn_at_twice_its_size(visitor: Callable[..., Visitor], slug: str) -> None:
    person = visitor()
    drawn = export(open_overview(person, slug), "timeline", "png")
    assert drawn.startswith(b"\x89PNG") and int.from_bytes(drawn[16:20], "big") == 1920
    assert person.complaints == []


def export(page: Page, chart: str, kind: str) -> bytes:
    with page.expect_download() as download:
        page.locator(f"[data-figure={chart}] [data-export={kind}]").click()
    return Path(download.value.path()).read_bytes()


def test_what_is_being_judged_is_a_light_band_and_a_line(visitor: Callable[..., Visitor], slug: str) -> None:
    person = visitor()
    page = open_overview(person, slug)
    expect(page.locator(".judging")).to_contain_text(
        "tiny-judge is judging v2 against v1: 55\N{NO-BREAK SPACE}% so far"
    )
    bands = page.locator("[data-figure=timeline] [stroke-opacity='0.25'] title")
    expect(bands).to_have_text(["being judged: 55 %"])
    with page.expect_response(re.compile("/judging")) as asked:
        pass
    assert asked.value.status in (200, 304)
    expect(bands).to_have_text(["being judged: 55 %"])
    assert person.complaints == []


def test_paper_shows_the_numbers_and_hides_the_controls(visitor: Callable[..., Visitor], slug: str) -> None:
    page = open_overview(visitor(), slug)
    page.emulate_media(media="print")
    expect(page.locator("#timeline tbody")).to_be_visible()
    expect(page.locator("#timeline .exports")).to_be_hidden()
    expect(page.locator("#by-judge .filters")).to_be_hidden()
