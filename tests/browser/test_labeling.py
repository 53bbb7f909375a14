"""The labeling page in a real browser: what was entered is what is stored, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

ANSWER = "Ask early, say why, and offer to help with the hand-over."
RANKS = [1, 4, 2, 2]  # of the four notes: the second and third place are shared


@pytest.fixture
def labeler(visitor: Callable[..., Visitor]) -> Visitor:
    person = visitor()
    person.sign_in("labeler")
    return person


def rank_of_each_card(page: Page, texts: list[str]) -> dict[str, int]:
    """The rank that each letter on screen should get; the order on screen is the labeler's own."""
    starts = {text.split("\n")[0][:30]: rank for text, rank in zip(texts, RANKS, strict=True)}
    cards = page.locator(".completion").all()
    shown = [(card.get_attribute("data-key") or "", card.locator(".prose").inner_text()) for card in cards]
    return {key: next(rank for start, rank in _longest_first(starts) if text.startswith(start)) for key, text in shown}


def _longest_first(starts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(starts.items(), key=lambda item: -len(item[0]))


def test_a_demonstration_and_a_ranking_with_a_tie_by_keys_alone_are_in_the_next_snapshot(
    labeler: Visitor, world: Callable[..., dict[str, Any]]
) -> None:
    made = world("labeling", "by-keys")
    page = labeler.go("/p/by-keys/label/")
    expect(page.locator("#answer")).to_be_focused()
    page.keyboard.type(ANSWER)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".completion")).to_have_count(4)
    ranks = rank_of_each_card(page, made["texts"])
    for key in "abc":
        page.keyboard.press(str(ranks[key]))  # each digit goes on to the next answer without a rank
    page.keyboard.press("Enter")
    expect(page.locator("#task-state")).to_contain_text("D to go")
    page.keyboard.press(str(ranks["d"]))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing to label right now")).to_be_visible()
    expect(page.locator(".empty .why")).to_have_text("Every task that is open has been taken or is answered.")

    (demonstration,) = world("freeze", "by-keys", "demonstrations")["rows"]
    assert demonstration["completion"] == ANSWER
    (ranking,) = world("freeze", "by-keys", "rankings")["rows"]
    stored = dict(zip(ranking["completions"], ranking["ranks"], strict=True))
    assert [stored[text] for text in made["texts"]] == [1, 3, 2, 2]  # dense
    assert labeler.complaints == []


def test_text_is_there_again_after_the_tab_was_closed_and_on_another_machine(
    labeler: Visitor, visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]]
) -> None:
    world("labeling", "closed-tab")
    page = labeler.go("/p/closed-tab/label/")
    page.locator("#answer").fill("One. ")
    expect(page.locator("#draft-state")).to_have_text("Draft saved", timeout=4_000)
    page.locator("#answer").press_sequentially("Two.")
    page.close()
    labeler.page = labeler.new_page()
    expect(labeler.go("/p/closed-tab/label/").locator("#answer")).to_have_value("One. Two.")
    expect(labeler.page.locator("#draft-state")).to_have_text("Draft saved")

    elsewhere = visitor()
    elsewhere.sign_in("labeler")
    expect(elsewhere.go("/p/closed-tab/label/").locator("#answer")).to_have_value("One. Two.")


def test_letters_can_be_dragged_between_the_ranks(labeler: Visitor, world: Callable[..., dict[str, Any]]) -> None:
    world("ranking", "dragged")
    page = labeler.go("/p/dragged/label/")
    for key, rank in {"a": 1, "b": 3, "c": 3, "d": 2}.items():
        page.locator(f".chip[data-key={key}]").drag_to(page.locator(f".chips[data-rank='{rank}']"))
    expect(page.locator(".completion[data-key=b] .placed")).to_have_text("3rd, tied")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#pace")).to_contain_text("1 done today")
    assert world("submissions", "dragged")["bodies"] == [{"ranks": {"a": 1, "b": 3, "c": 3, "d": 2}}]


def test_on_a_phone_ranks_are_tapped(visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]]) -> None:
    world("ranking", "phone")
    person = visitor(width=390)
    person.sign_in("labeler")
    page = person.go("/p/phone/label/")
    for key, rank in {"a": 2, "b": 1, "c": 2, "d": 3}.items():
        page.get_by_role("tab", name=f"Answer {key.upper()}").tap()
        page.locator(f".completion[data-key={key}]").get_by_role("radio", name=str(rank), exact=True).tap()
    page.get_by_role("button", name="Submit").tap()
    expect(page.locator("#pace")).to_contain_text("1 done today")
    assert world("submissions", "phone")["bodies"] == [{"ranks": {"a": 2, "b": 1, "c": 2, "d": 3}}]


def test_no_single_key_destroys_work(labeler: Visitor, world: Callable[..., dict[str, Any]]) -> None:
    world("ranking", "any-key")
    page = labeler.go("/p/any-key/label/")
    expect(page.locator(".completion")).to_have_count(4)
    for digit in "1123":
        page.keyboard.press(digit)
    pressed = page.locator(".rank-buttons [aria-checked=true]")
    for key in [*"abcdefghijklmnopqrstuvwxy", "Escape", "Tab", "Delete", "z", "Backspace", "z", "0", "z"]:
        page.keyboard.press(key)
        if page.locator("dialog[open]").count():
            page.keyboard.press("Escape")
    expect(pressed).to_have_text(["1", "1", "2", "3"])
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("take the last choice back")
    assert world("submissions", "any-key")["bodies"] == []


def test_skipping_asks_for_a_reason_and_brings_the_next_task(
    labeler: Visitor, world: Callable[..., dict[str, Any]]
) -> None:
    world("labeling", "skipped")
    page = labeler.go("/p/skipped/label/")
    page.locator("#answer").press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator(".completion")).to_have_count(4)


def test_without_script_the_task_can_be_read_and_the_page_says_what_is_missing(
    visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]]
) -> None:
    world("ranking", "no-script")
    person = visitor(java_script_enabled=False)
    person.sign_in("labeler")
    page = person.go("/p/no-script/label/")
    expect(page.locator(".completion")).to_have_count(4)
    expect(page.get_by_text("Labeling needs JavaScript")).to_be_visible()
