"""Answering in a real browser, over two web processes and either database: what is stored is what stood on the page."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

NUM_RANKINGS = 100  # on each database
# Text of each answer and the place that the tray shows it at: the order as a person sees it.
SHOWN = """() => Object.fromEntries([...document.querySelectorAll('.completion')].map((card) => {
  const chip = document.querySelector(`.chip[data-key=${card.dataset.key}]`);
  const placed = card.querySelector('.placed').textContent;
  const rank = chip ? chip.parentElement.dataset.rank : placed ? 1 : 2;
  return [card.querySelector('.prose').textContent.trim(), Number(rank)];
}))"""
ARRIVED = """before => {
  const now = document.querySelector('#workspace').dataset.assignment;
  return now && now !== before;
}"""
UNPOINTED = """
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('* { pointer-events: none !important }');
  document.adoptedStyleSheets = [sheet];
"""
FOCUS = "() => document.activeElement !== document.body && document.activeElement.matches(':focus-visible')"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, fleet: Callable[[str], services.Servers]) -> services.Servers:
    return fleet(request.param)


@pytest.fixture
def labeler(visitor: Callable[..., Visitor]) -> Visitor:
    person = visitor()
    person.sign_in("labeler")
    return person


def assignment(page: Page) -> str | None:
    return page.locator("#workspace").get_attribute("data-assignment")


def dense(ranks: dict[str, int]) -> dict[str, int]:
    used = sorted(set(ranks.values()))
    return {text: used.index(rank) + 1 for text, rank in ranks.items()}


def rank_at_random(page: Page, draw: random.Random) -> dict[str, int]:
    """Rank everything by keys, drags, clicks and changes of mind; what the page shows in the end."""
    num = page.locator(".completion").count()
    if num == 2:
        page.keyboard.press(draw.choice(["1", "2", "0", "t"]))
        page.keyboard.press(draw.choice("12"))  # where ties are refused, too
        return page.evaluate(SHOWN)
    places = [str(draw.randint(1, num)) for _ in range(num)]
    for place in places if draw.random() < 0.7 else sorted(places, reverse=True):
        page.keyboard.press(place)
    for _ in range(draw.choice([0, 0, 1, 2])):
        move_one(page, draw, num)
    while page.locator("#submit-button[aria-disabled=true]").count():  # a rank was refused: no ties here
        missing = page.locator(".unranked .chip").first.get_attribute("data-key") or ""
        free = next(rank for rank in range(1, num + 1) if not page.locator(f".chips[data-rank='{rank}'] .chip").count())
        page.keyboard.press(f"Shift+{missing.upper()}")
        page.keyboard.press(str(free))
    return page.evaluate(SHOWN)


def move_one(page: Page, draw: random.Random, num: int) -> None:
    key, rank = "abcdefg"[draw.randrange(num)], draw.randint(1, num)
    how = draw.choice(["drag", "click", "arrows", "clear", "take back"])
    if how == "drag":
        page.drag_and_drop(f".chip[data-key={key}]", f".chips[data-rank='{rank}']")
    elif how == "click":
        page.locator(f".completion[data-key={key}] .rank-buttons button").nth(rank - 1).click()
    elif how == "arrows":
        page.keyboard.press(draw.choice(["ArrowDown", "j", "ArrowLeft", "k"]))
        page.keyboard.press(str(rank))
    elif how == "clear":
        page.keyboard.press("Backspace")
    else:
        page.keyboard.press("z")


def test_rankings_are_exported_exactly_as_they_stood_on_the_page(
    labeler: Visitor, world: Callable[..., dict[str, Any]]
) -> None:
    world("rankings", "random", str(NUM_RANKINGS), module="kinds")
    draw = random.Random(7)
    page = labeler.go("/p/random/label/")
    seen: dict[frozenset[str], dict[str, int]] = {}
    last = None
    for number in range(NUM_RANKINGS):
        page.wait_for_function(ARRIVED, arg=last)
        last = assignment(page)
        shown = rank_at_random(page, draw)
        page.keyboard.press("Control+Enter")
        if number % 10 == 4:
            page.wait_for_function(ARRIVED, arg=last)
            page.keyboard.press("u")
            expect(page.locator("#task-title")).to_have_text("Change your last answer")
            assert page.evaluate(SHOWN) == dense(shown)
            shown = rank_at_random(page, draw)
            page.keyboard.press("Control+Enter")
            expect(page.locator("#task-title")).not_to_have_text("Change your last answer")
        seen[frozenset(shown)] = dense(shown)
    expect(page.get_by_role("heading", name="Nothing to label right now")).to_be_visible()
    exported = world("freeze", "random", "rankings")["rows"]
    stored = [dict(zip(row["completions"], row["ranks"], strict=True)) for row in exported]
    assert {frozenset(ranks): ranks for ranks in stored} == seen
    assert len(stored) == NUM_RANKINGS
    assert labeler.complaints == []


def test_every_kind_of_task_is_finished_without_a_mouse(labeler: Visitor, world: Callable[..., dict[str, Any]]) -> None:
    world("kinds", "keys", module="kinds")
    labeler.page.add_init_script(UNPOINTED)
    page = labeler.go("/p/keys/label/")
    press = Keys(page)
    press.arrived("Write the ideal answer")
    page.keyboard.type("Thank you, Ruth.")
    press("Control+Enter")  # the category is missing: said, and the focus is there
    expect(page.locator("#task-state")).to_contain_text("Choose a category. Nothing was sent.")
    press("2", "Control+Enter")
    press.arrived("Write a prompt")
    page.keyboard.type("Write a limerick about a teapot.")
    press("Control+Enter")
    press.arrived("Which answer is better?")
    press("x", "Enter")
    press.next()
    press("Enter", "2", "1", "e")  # "A is better", safety, the editor
    expect(page.locator(".edit textarea")).to_be_focused()
    press("Control+End")
    page.keyboard.type(" Yours, Jo")
    expect(page.locator(".edit-diff ins")).to_contain_text("Yours")
    press("Escape", "Enter")
    press.next()
    press("5", "1", "0", "3")  # "B is slightly better", two aspects, the category; then the reason has the focus
    page.keyboard.type("B is warmer.")
    press("Control+Enter")
    expect(page.locator("#task-state")).to_contain_text("The reason needs 18 more characters")
    page.keyboard.type(" It names what she did.")
    press("Control+Enter")
    press.arrived("Rank the answers, best first")
    for rating in "7531":
        press(rating, "2", "Enter")  # the rating, a flag, on to what is missing
    press("1", "2", "3", "4", "Enter")
    press.next()
    press(*"1223345", "0", "5", "ArrowUp", "4", "Enter")  # the last one cleared and ranked again; F moved to the 4th
    press.next()
    press("u")
    expect(page.locator("#task-title")).to_have_text("Change your last answer")
    press("Shift+G", "1", "Enter")
    expect(page.locator("#task-title")).to_have_text("Rank the answers, best first")
    press("s", "5")
    page.keyboard.type("Nine are too many")
    press("Enter")
    expect(page.get_by_role("heading", name="Nothing to label right now")).to_be_visible()
    assert page.evaluate(FOCUS), "no focus to be seen where nothing is left"
    check_by_keys(world("submissions", "keys")["bodies"])
    assert labeler.complaints == []


class Keys:
    """Presses keys and sees to it that the focus can be seen after each."""

    def __init__(self, page: Page) -> None:
        self.page, self.before = page, None

    def __call__(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            assert self.page.evaluate(FOCUS), f"no focus to be seen after {key}"

    def next(self) -> None:
        self.page.wait_for_function(ARRIVED, arg=self.before)
        self.before = assignment(self.page)

    def arrived(self, title: str) -> None:
        self.next()
        expect(self.page.locator("#task-title")).to_have_text(title)


def check_by_keys(bodies: list[dict[str, Any]]) -> None:
    demonstration, prompt, arena, four, seven, sheets, first, revised = bodies
    assert demonstration == {"text": "Thank you, Ruth.", "category": "advice"}
    assert prompt == {"text": "Write a limerick about a teapot."}
    assert arena == {"ranks": {"a": 1, "b": 1}, "all_bad": True}
    assert (four["ranks"], four["strength"], four["safety"]) == ({"a": 1, "b": 2}, 3, "chosen")
    assert four["edited"]["key"] == "a"
    assert four["edited"]["text"].endswith(" Yours, Jo")
    assert (seven["ranks"], seven["strength"], seven["category"]) == ({"a": 2, "b": 1}, 1, "facts")
    assert seven["aspects"] == {"helpful": {"a": 1, "b": 2}, "honest": {"a": 1, "b": 1}}
    assert seven["reason"] == "B is warmer. It names what she did."
    assert sheets["ratings"] == {"a": 7, "b": 5, "c": 3, "d": 1}
    assert sheets["flags"] == {key: ["inappropriate"] for key in "abcd"}
    assert sheets["ranks"] == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert first["ranks"] == {"a": 1, "b": 2, "c": 2, "d": 3, "e": 3, "f": 4, "g": 5}
    assert revised["ranks"] == {"a": 1, "b": 2, "c": 2, "d": 3, "e": 3, "f": 4, "g": 1}
