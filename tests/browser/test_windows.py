"""Drafts in several windows, large ones, ones that come late, and a browser without room: nothing goes unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser.conftest import Visitor, caught, hold

pytestmark = pytest.mark.browser

SLUGS = ("mirrored", "elsewhere", "frozen", "large", "late", "full")
LARGE = "Seventy thousand characters are more than a closing page may send. " * 1_050


@pytest.fixture(scope="module", autouse=True)
def projects(servers: services.Servers) -> None:
    servers.run("-m", "tests.browser", "world", "writing", *SLUGS)


@pytest.fixture
def labeler(visitor: Callable[..., Visitor]) -> Visitor:
    person = visitor()
    person.sign_in("labeler")
    return person


def begin(person: Visitor, slug: str, page: Page | None = None) -> Page:
    page = page or person.page
    page.goto(f"{person.url}/p/{slug}/label/")
    expect(page.locator("#answer")).to_be_focused()
    return page


def other_machine(labeler: Visitor, visitor: Callable[..., Visitor]) -> Visitor:
    elsewhere = visitor()
    elsewhere.context.add_cookies(labeler.context.cookies())  # type: ignore[arg-type]
    return elsewhere


def test_a_second_tab_takes_over_what_the_first_one_writes(labeler: Visitor) -> None:
    first = begin(labeler, "mirrored")
    second = begin(labeler, "mirrored", labeler.new_page())
    first.locator("#answer").press_sequentially("From the first.")
    expect(second.locator("#answer")).to_have_value("From the first.")
    second.locator("#answer").press_sequentially(" From the second.")
    expect(first.locator("#answer")).to_have_value("From the first. From the second.")
    expect(second.locator("#draft-state")).to_have_text("Draft saved")
    expect(first.get_by_role("alert")).to_have_count(0)
    assert labeler.complaints == []


def test_two_machines_on_one_task_see_both_texts_and_the_person_chooses(
    labeler: Visitor, visitor: Callable[..., Visitor]
) -> None:
    here = begin(labeler, "elsewhere")
    there = begin(other_machine(labeler, visitor), "elsewhere")
    there.locator("#answer").fill("Written at work.")
    expect(there.locator("#draft-state")).to_have_text("Draft saved")
    here.locator("#answer").fill("Written at home.")
    expect(here.get_by_role("alert")).to_contain_text("Written at work.")
    expect(here.locator("#answer")).to_be_focused()
    expect(here.locator("#answer")).to_have_value("Written at home.")
    here.reload()  # still to be chosen
    expect(here.get_by_role("alert")).to_contain_text("Written at work.")
    here.get_by_role("button", name="Use the other one").click()
    expect(here.locator("#answer")).to_have_value("Written at work.")
    expect(here.locator("#draft-state")).to_have_text("Draft saved")
    here.reload()
    expect(here.locator("#answer")).to_have_value("Written at work.")
    expect(here.get_by_role("alert")).to_have_count(0)


def test_a_tab_that_slept_while_another_wrote_does_not_overwrite_it_unseen(labeler: Visitor) -> None:
    sleeper = labeler.page
    sleeper.add_init_script("addEventListener('storage', (event) => event.stopImmediatePropagation(), true)")
    begin(labeler, "frozen")
    awake = begin(labeler, "frozen", labeler.new_page())
    awake.locator("#answer").fill("A long and careful text.")
    expect(awake.locator("#draft-state")).to_have_text("Draft saved")
    sleeper.locator("#answer").fill("x")
    expect(sleeper.get_by_role("alert")).to_contain_text("A long and careful text.")


def test_a_text_too_large_for_a_closing_page_is_there_again(labeler: Visitor) -> None:
    page = begin(labeler, "large")
    page.locator("#answer").fill(LARGE)
    page.close(run_before_unload=False)
    labeler.page = labeler.new_page()
    expect(begin(labeler, "large").locator("#answer")).to_have_value(LARGE)
    expect(labeler.page.locator("#draft-state")).to_have_text("Draft saved")


def test_a_draft_that_arrives_after_its_submit_loses(labeler: Visitor, world: Callable[..., dict[str, Any]]) -> None:
    page = begin(labeler, "late")
    held = hold(page, "**/draft")
    page.locator("#answer").fill("An early state.")
    early = caught(page, held)
    body = early.request.post_data_json
    page.evaluate("localStorage.clear()")
    other = begin(labeler, "late", labeler.new_page())
    other.locator("#answer").fill("The answer.")
    other.keyboard.press("Control+Enter")
    expect(other.locator("#answer")).to_have_value("")
    early.continue_()
    page.wait_for_timeout(300)
    stored = world("submissions", "late")
    assert body["draft"]["text"] == "An early state."
    assert [found["text"] for found in stored["bodies"]] == ["The answer."]
    assert all((draft or {}).get("text") != "An early state." for draft in stored["drafts"])


def test_without_room_in_the_browser_the_server_has_it_and_closing_asks(
    labeler: Visitor, visitor: Callable[..., Visitor]
) -> None:
    labeler.page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
    )
    page = begin(labeler, "full")
    page.locator("#answer").press_sequentially("Kept anyway.")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    assert begin(other_machine(labeler, visitor), "full").locator("#answer").input_value() == "Kept anyway."
    labeler.context.set_offline(True)
    page.locator("#answer").press_sequentially(" And this?")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.close(run_before_unload=True)
    page.wait_for_event("close")
    assert asked == ["beforeunload"]
