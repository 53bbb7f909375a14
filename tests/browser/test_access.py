"""Every labeler page for everybody: axe finds nothing, the focus can be seen, texts run in their own direction.

The pages are opened state by state (tests/browser/rooms.py), light and dark, in each language, wide and narrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser import axe
from tests.browser.conftest import PASSWORD, Visitor

pytestmark = pytest.mark.browser

ENGLISH, CHINESE = "en-US", "zh-CN"
# Where the focus is, whether a person sees it, and how it is marked.
FOCUS = """() => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const x = Math.min(Math.max(box.x + box.width / 2, 0), innerWidth - 1);
  const y = Math.min(Math.max(box.y + box.height / 2, 0), innerHeight - 1);
  const top = document.elementFromPoint(x, y);
  return {
    name: at.outerHTML.slice(0, 120), isBody: at === document.body,
    isMarked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
    isOnScreen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    isCovered: !(top && (at.contains(top) || top.contains(at) || at.labels?.[0]?.contains(top))),
  };
}"""


@pytest.fixture(scope="module")
def rooms(servers: services.Servers) -> dict[str, str]:
    return json.loads(servers.run("-m", "tests.browser", "rooms").splitlines()[-1])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("locale", [ENGLISH, CHINESE])
def test_axe_finds_nothing_on_any_labeler_page(
    visitor: Callable[..., Visitor], rooms: dict[str, str], locale: str, width: int
) -> None:
    found: list[str] = []
    person = visitor(width=width, locale=locale)
    for name, page in states(person, rooms):
        found += [f"{name}: {line}" for line in axe.violations(page)]
        overflow = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        found += [f"{name}: {overflow} px wider than {width} px"] if overflow > 0 else []
    assert found == []
    assert [line for line in person.complaints if "404 (Not Found)" not in line] == []


def test_the_focus_is_always_seen(visitor: Callable[..., Visitor], rooms: dict[str, str]) -> None:
    for width in (1280, 390):
        person = visitor(width=width)
        for name, page in states(person, rooms):
            lost = [
                stop
                for stop in tab_through(page)
                if not stop["isMarked"] or not stop["isOnScreen"] or stop["isCovered"]
            ]
            assert lost == [], f"{name} at {width} px"


def states(person: Visitor, rooms: dict[str, str]) -> Iterator[tuple[str, Page]]:
    """Each state of the labeler's pages, while it is open."""
    page = person.go("/login")
    yield "login", page
    page.locator(".languages summary").click()
    yield "languages", page
    sign_in(page)
    yield "home", page
    yield "missing", person.go("/p/nobodys/label/")
    for name, slug in rooms.items():
        label(person, slug)
        yield name, page
    label(person, rooms["rank"])
    for name, keys in {"keys": "?", "skip": "s", "guidelines": "g"}.items():
        page.keyboard.press(keys)
        yield name, page
        page.keyboard.press("Escape")


def label(person: Visitor, slug: str) -> None:
    person.go(f"/p/{slug}/label/")
    expect(person.page.locator("#workspace[aria-busy], #labeling")).to_be_visible()
    person.page.wait_for_load_state("networkidle")


def sign_in(page: Page) -> None:
    page.locator("[name=username]").fill("labeler")
    page.locator("[name=password]").fill(PASSWORD)
    with page.expect_navigation():
        page.locator("[name=password]").press("Enter")


def tab_through(page: Page) -> Iterator[dict[str, Any]]:
    """Where Tab leads, once round the page or the dialog."""
    seen: set[str] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if stop["isBody"] or stop["name"] in seen:
            return
        seen.add(stop["name"])
        yield stop
