"""From a number to the two answers by keyboard alone, and every page behind the numbers: readable, silent, whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import services
from tests.browser import axe
from tests.browser.conftest import Visitor, follow

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def slug(servers: services.Servers) -> str:
    servers.run("-m", "tests.browser", "world", "numbers", "behind")
    return "behind"


@pytest.fixture
def person(visitor: Callable[..., Visitor], slug: str) -> Visitor:
    found = visitor()
    found.sign_in("researcher")
    return found


def tab_to(page: Page, wanted: Locator) -> None:
    """Only Tab, until the element has the focus."""
    wanted.wait_for()
    for _ in range(400):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError("Tab never came there")


def test_a_cell_leads_to_its_list_and_to_the_two_answers_in_two_activations(person: Visitor, slug: str) -> None:
    page = person.go(f"/p/{slug}/")
    tab_to(page, page.locator("[data-figure=matrix] svg a").first)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/evaluations/\d+/\?judge="))
    expect(page.locator(".equal")).to_contain_text(re.compile(r"Exactly the number: these \d+ pairs come to"))

    rate = page.evaluate(
        """async () => {
          const link = document.querySelector("a[download]");
          const lines = (await (await fetch(link.href)).text()).trim().split("\\r\\n").slice(1);
          const scores = lines.map((line) => Number(line.split(",")[4]));
          return [scores.length, scores.reduce((sum, score) => sum + score, 0) / scores.length];
        }"""
    )
    chosen = page.locator("tr.chosen td")
    assert rate[0] == int(chosen.last.inner_text())
    assert f"{100 * rate[1]:.0f}" == chosen.nth(2).inner_text().split("\N{NO-BREAK SPACE}")[0]

    tab_to(page, page.locator("table.pairs a").first)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/pairs/\d+/"))
    expect(page.get_by_role("heading", name="Two answers")).to_be_visible()
    assert person.complaints == []


def test_j_and_k_stay_in_the_list_and_d_shows_what_differs(person: Visitor, slug: str) -> None:
    page = person.go(f"/p/{slug}/versions/")
    follow(page.get_by_role("link", name="v2", exact=True).first)
    follow(page.locator("section", has_text="Win rates").get_by_role("link", name=re.compile("%")).first)
    page.get_by_label("Outcome").select_option("lost")
    page.get_by_label("Sorted").select_option("worst")
    follow(page.get_by_role("button", name="Show"))
    listed = page.locator("table.pairs tbody a").evaluate_all("links => links.map((link) => link.pathname)")
    follow(page.locator("table.pairs tbody a").first)
    for pressed, place in (("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(pressed)
        page.wait_for_url(f"**{listed[place]}**")
    page.keyboard.press("d")
    expect(page.locator(".diff ins").first).to_be_visible()
    page.keyboard.press("j")
    page.wait_for_url(f"**{listed[2]}**")
    expect(page.locator(".diff del").first).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator(".diff")).to_have_count(0)
    assert person.complaints == []


def test_regressions_alone_can_be_listed(person: Visitor, slug: str) -> None:
    page = person.go(f"/p/{slug}/versions/")
    follow(page.get_by_role("link", name="v2", exact=True).first)
    follow(page.get_by_role("row", name=re.compile("^v1 people")).get_by_role("link", name=re.compile("%")))
    page.get_by_label("Regressions only").check()
    follow(page.get_by_role("button", name="Show"))
    outcomes = page.locator("table.pairs tbody tr td:nth-child(2)").all_inner_texts()
    assert outcomes and all("lost" in outcome for outcome in outcomes)
    assert page.locator("table.pairs tbody tr").count() == int(page.locator(".stat dd").first.inner_text())


PLACES = {
    "list": ("versions", "v2", "%"),
    "pair": ("versions", "v2", "%", "Write"),
    "run": ("versions", "v2", "PPO #"),
    "version": ("versions", "v2"),
    "rewards": ("rewards",),
}


def open_place(person: Visitor, slug: str, place: str) -> Page:
    section, *links = PLACES[place]
    page = person.go(f"/p/{slug}/{section}/")
    for text in links:
        follow(page.locator("main").get_by_role("link", name=re.compile(text)).first)
    page.wait_for_load_state("networkidle")
    return page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_and_all_fits(
    visitor: Callable[..., Visitor], slug: str, place: str, width: int, request: pytest.FixtureRequest
) -> None:
    person = visitor(width=width)
    person.sign_in("researcher")
    page = open_place(person, slug, place)
    keep(page, request, f"behind-{place}-{width}")
    if place == "pair":
        page.keyboard.press("d")
        expect(page.locator(".diff")).to_have_count(2)
        keep(page, request, f"behind-diff-{width}")
    for details in page.locator("main details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert axe.violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert person.complaints == []


def keep(page: Page, request: pytest.FixtureRequest, name: str) -> None:
    schemes: tuple[Any, ...] = ("light", "dark")
    for scheme in schemes if (folder := request.config.getoption("--screens")) else ():
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


def test_every_reward_chart_is_reachable_by_tab_and_says_what_its_table_says(person: Visitor, slug: str) -> None:
    page = open_place(person, slug, "rewards")
    for key in ("distribution", "by-model", "best-of-n", "frontier"):
        tab_to(page, page.locator(f"[data-figure={key}] svg a").first)
    drawn = page.locator("[data-figure=by-model] svg a").evaluate_all("a => a.map((e) => e.getAttribute('aria-label'))")
    cells = page.locator("#by-model table td:nth-child(3) data").evaluate_all("d => d.map((e) => Number(e.value))")
    said = [
        float(label.split(" by ")[1].split(": ")[1].split(" ")[0].replace("\N{MINUS SIGN}", "-")) for label in drawn
    ]
    assert said == [round(value, 2) for value in cells] and len(said) == 3
    expect(page.locator("[data-figure=best-of-n] svg")).to_contain_text("median")
