"""2,000 typed characters survive, on the same task: tab killed, network cut, session expired, server restarted.

Two web processes, on each kind of database. Every character is in this browser at once and on the server within two
seconds, so both are looked at: the same browser after it comes back, and another machine.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Error, Page, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

SENTENCE = "Ask early, say why, offer to help, and take the answer as it comes; "
TEXT = (SENTENCE * 30)[:2_000]
HALVES = TEXT[:1_000], TEXT[1_000:]
SAVED_MS = 2_000  # after the last key, the server has it
SLUGS = ("killed", "cut", "expired", "restarted")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, fleet: Callable[[str], services.Servers]) -> services.Servers:
    running = fleet(request.param)
    running.run("-m", "tests.browser", "world", "writing", *SLUGS)
    return running


@pytest.fixture
def labeler(visitor: Callable[..., Visitor]) -> Visitor:
    person = visitor()
    person.sign_in("labeler")
    return person


def begin(labeler: Visitor, slug: str) -> str:
    """Open the page; the number of the task that it shows."""
    page = labeler.go(f"/p/{slug}/label/")
    expect(page.locator("#answer")).to_be_focused()
    return shown(page)


def shown(page: Page) -> str:
    return page.locator("#workspace").get_attribute("data-assignment") or ""


def type_in(page: Page, text: str) -> None:
    """Word by word, as a phone's keyboard does: a key at a time would take ten seconds."""
    for word in re.findall(r"\S+\s*", text):
        page.keyboard.insert_text(word)


def kill(page: Page) -> None:
    """End the tab's process: nothing of the page runs any more, no unload, no beacon."""
    with contextlib.suppress(Error):
        page.goto("chrome://crash")
    page.close()


def come_back(labeler: Visitor, slug: str) -> Page:
    labeler.page = labeler.new_page()
    return labeler.go(f"/p/{slug}/label/")


def text_elsewhere(labeler: Visitor, visitor: Callable[..., Visitor], slug: str) -> str:
    """What the same person finds on another machine: nothing but what the server has."""
    elsewhere = visitor()
    elsewhere.context.add_cookies(labeler.context.cookies())  # type: ignore[arg-type]
    page = elsewhere.go(f"/p/{slug}/label/")
    expect(page.locator("#answer")).to_be_focused()
    return page.locator("#answer").input_value()


def test_a_killed_tab(labeler: Visitor, visitor: Callable[..., Visitor]) -> None:
    task = begin(labeler, "killed")
    type_in(labeler.page, TEXT)
    labeler.page.wait_for_timeout(SAVED_MS)
    labeler.page.keyboard.type("And more.")
    kill(labeler.page)
    assert text_elsewhere(labeler, visitor, "killed")[: len(TEXT)] == TEXT
    page = come_back(labeler, "killed")
    expect(page.locator("#answer")).to_have_value(TEXT + "And more.")
    assert shown(page) == task


def test_a_cut_network(labeler: Visitor, visitor: Callable[..., Visitor]) -> None:
    task = begin(labeler, "cut")
    type_in(labeler.page, HALVES[0])
    labeler.context.set_offline(True)
    type_in(labeler.page, HALVES[1])
    expect(labeler.page.locator("#draft-state")).to_contain_text("Kept in this browser")
    kill(labeler.page)
    labeler.context.set_offline(False)
    page = come_back(labeler, "cut")
    expect(page.locator("#answer")).to_have_value(TEXT)
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    assert shown(page) == task
    assert text_elsewhere(labeler, visitor, "cut") == TEXT


def test_an_expired_session(labeler: Visitor, visitor: Callable[..., Visitor]) -> None:
    task = begin(labeler, "expired")
    type_in(labeler.page, HALVES[0])
    labeler.context.clear_cookies(name="sessionid")
    type_in(labeler.page, HALVES[1])
    expect(labeler.page.locator("#draft-state")).to_contain_text("you are signed out")
    kill(labeler.page)
    page = come_back(labeler, "expired")
    labeler.sign_in("labeler")
    expect(page.locator("#answer")).to_have_value(TEXT)
    assert shown(page) == task
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    assert text_elsewhere(labeler, visitor, "expired") == TEXT


def test_a_restarted_server(labeler: Visitor, visitor: Callable[..., Visitor], servers: services.Servers) -> None:
    task = begin(labeler, "restarted")
    type_in(labeler.page, HALVES[0])
    servers.parts[0].kill()
    type_in(labeler.page, HALVES[1])
    expect(labeler.page.locator("#draft-state")).to_contain_text("Kept in this browser")
    servers.parts[0].start()
    expect(labeler.page.locator("#draft-state")).to_have_text("Draft saved", timeout=15_000)
    assert text_elsewhere(labeler, visitor, "restarted") == TEXT
    kill(labeler.page)
    page = come_back(labeler, "restarted")
    expect(page.locator("#answer")).to_have_value(TEXT)
    assert shown(page) == task
