"""Every labeler page for everybody: axe finds nothing, the focus can be seen, texts run in their own direction.

The pages are opened state by state (tests/browser/rooms.py), light and dark, in each language, wide and narrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser import axe
from tests.browser.conftest import PASSWORD, Visitor, follow

pytestmark = pytest.mark.browser

ENGLISH, CHINESE = "en-US", "zh-CN"
EXPECTED = re.compile(r"404 \(Not Found\)|ERR_FAILED")  # the missing page, and the answer that could not be sent
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
# What a person sees or hears of the page's own words: not the texts of the tasks, not names, not keys.
ENGLISH_TEXTS = """() => {
  const own = 'main, header.site, dialog[open]', others = '.prose, [dir=auto], [lang], kbd, code, .menu, #notices h3';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  const isShown = (element) => element.checkVisibility() && element.closest(own) && !element.closest(others);
  while (walker.nextNode()) if (isShown(walker.currentNode.parentElement)) found.push(walker.currentNode.data);
  for (const element of document.querySelectorAll('[aria-label], [title], [placeholder]'))
    if (isShown(element)) found.push(element.ariaLabel, element.title, element.placeholder);
  const names = /Hone|Kind answers: [a-z-]+|Ctrl|Enter/g;
  return found.filter((text) => /[a-z]{3}/i.test((text ?? '').replaceAll(names, '')));
}"""


@pytest.fixture(scope="session")
def rooms(servers: services.Servers) -> dict[str, str]:
    return json.loads(servers.run("-m", "tests.browser", "rooms").splitlines()[-1])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("locale", [ENGLISH, CHINESE])
def test_axe_finds_nothing_on_any_labeler_page(
    visitor: Callable[..., Visitor], rooms: dict[str, str], locale: str, width: int
) -> None:
    found: list[str] = []
    person = visitor(width=width, locale=locale)
    for name, page in every_state(person, visitor(width=width, locale=locale), rooms):
        found += [f"{name}: {line}" for line in axe.violations(page)]
        found += [f"{name}: {text!r} is English" for text in page.evaluate(ENGLISH_TEXTS)] if locale == CHINESE else []
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        found += [f"{name}: {wide} px wide on a screen of {width} px"] if wide > width else []
    assert found == []
    assert [line for line in person.complaints if not EXPECTED.search(line)] == []


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


def every_state(person: Visitor, reviewer: Visitor, rooms: dict[str, str]) -> Iterator[tuple[str, Page]]:
    yield from states(person, rooms)
    yield from states_of_a_reviewer(reviewer, rooms)


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
        yield from states_within(page, name)
    for name in ("compared", "qualifying", "warned", "paused"):
        yield f"own-{name}", person.go(f"/p/{rooms[name]}/label/me/")


def states_of_a_reviewer(person: Visitor, rooms: dict[str, str]) -> Iterator[tuple[str, Page]]:
    """What the manager sees of the labelers and their answers."""
    page = person.go("/login")
    sign_in(page, "admin")
    for name in ("compared", "paused", "qualifying"):
        yield f"labelers-{name}", person.go(f"/p/{rooms[name]}/labelers/")
        follow(page.get_by_role("main").get_by_role("link", name="labeler").first)
        yield f"labeler-{name}", page
    yield "adjudication", person.go(f"/p/{rooms['compared']}/adjudication/")
    follow(page.locator("main tbody a").first)
    yield "adjudicate", page


def states_within(page: Page, room: str) -> Iterator[tuple[str, Page]]:
    """What a person may do in that room, and what the page looks like then."""
    if room == "rank":
        for name, key in {"keys": "?", "skip": "s", "guidelines": "g"}.items():
            page.keyboard.press(key)
            yield name, page
            page.keyboard.press("g" if name == "guidelines" else "Escape")
    elif room == "compare":
        for name, key in {"differences": "d", "raw": "r"}.items():
            page.keyboard.press(key)
            yield name, page
    elif room == "arabic":
        page.get_by_role("radio").first.click()
        page.keyboard.press("e")
        page.keyboard.type("!")
        yield "edit", page
    elif room == "warned":
        page.locator(".warning .primary").click()
        yield "llama2", page
    elif room == "qualifying":
        answer(page)
        expect(page.locator(".feedback")).to_be_visible()
        yield "feedback", page
    elif room == "answered":
        yield from states_after_an_answer(page)


def states_after_an_answer(page: Page) -> Iterator[tuple[str, Page]]:
    answer(page)
    expect(page.locator("#undo-button")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("#keep-button")).to_be_visible()
    yield "undone", page
    page.locator("#keep-button").click()
    page.route("**/submit", lambda route: route.abort())
    answer(page)
    expect(page.locator("#notices .notice")).to_be_visible()
    yield "unsent", page
    page.unroute("**/submit")


def answer(page: Page) -> None:
    """Say that A is better."""
    page.get_by_role("radio").first.click()
    page.locator("#submit-button").click()


def label(person: Visitor, slug: str) -> None:
    person.go(f"/p/{slug}/label/")
    expect(person.page.locator("#workspace[data-assignment], #workspace .empty h2")).to_be_attached()


def sign_in(page: Page, name: str = "labeler") -> None:
    page.locator("[name=username]").fill(name)
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
