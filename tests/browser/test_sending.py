"""Sending from a real browser, over two web processes and either database: each answer is stored once, and nothing that
a person entered is lost on the way; the next task does not wait for the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests import services
from tests.browser.conftest import Visitor, caught, hold

pytestmark = pytest.mark.browser

NOTE = "Ask early, say why, and offer to help with the hand-over."
OTHER = "Something else altogether."
World = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, fleet: Callable[[str], services.Servers]) -> services.Servers:
    return fleet(request.param)


@pytest.fixture
def labeler(visitor: Callable[..., Visitor]) -> Visitor:
    person = visitor()
    person.sign_in("labeler")
    return person


def begin(labeler: Visitor, world: World, slug: str, num: int = 3) -> Page:
    """So many prompts to be written; the first is on the page and the second prefetched."""
    world("same", slug, "prompt", str(num), module="kinds")
    with labeler.page.expect_response("**/prefetch"):
        page = labeler.go(f"/p/{slug}/label/")
    return page


def task(page: Page) -> str:
    page.wait_for_selector("#workspace[data-assignment]")
    return page.locator("#workspace").get_attribute("data-assignment") or ""


def texts(world: World, slug: str) -> list[str]:
    return [body["text"] for body in world("submissions", slug)["bodies"]]


def write(page: Page, text: str, *, submit: bool = True) -> None:
    page.locator("#answer").fill(text)
    if submit:
        page.keyboard.press("Control+Enter")


def expect_next(page: Page, before: str) -> None:
    expect(page.locator("#workspace")).not_to_have_attribute("data-assignment", before)
    expect(page.locator("#answer")).to_have_value("")


def test_the_next_task_is_painted_before_the_reply_arrives(labeler: Visitor, world: World) -> None:
    page = begin(labeler, world, "ahead")
    first, held = task(page), hold(page, "**/submit")
    write(page, NOTE)
    expect_next(page, first)
    submitted = caught(page, held)  # nothing was answered yet
    write(page, "Begun while", submit=False)
    with page.expect_response("**/draft"):  # a draft of a task that is not ours yet waits for the reply
        submitted.continue_()
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    expect(page.locator("#pace")).to_contain_text("1 done today")
    expect(page.locator("#answer")).to_have_value("Begun while")
    assert texts(world, "ahead") == [NOTE]
    assert labeler.complaints == []


def test_a_double_click_and_a_lost_reply_store_one_answer(labeler: Visitor, world: World) -> None:
    page = begin(labeler, world, "once")
    write(page, NOTE, submit=False)
    page.locator("#submit-button").dblclick()
    expect(page.locator("#pace")).to_contain_text("1 done today")

    def lose_the_reply(route: Route) -> None:
        route.fetch()  # the server stores it; the browser never hears so
        route.abort()

    page.route("**/submit", lose_the_reply, times=1)
    write(page, OTHER)
    expect(page.get_by_role("alert")).to_contain_text("1 answer is not saved yet")
    expect(page.get_by_role("alert")).to_contain_text(OTHER)
    page.reload()  # the page sends it again by itself
    expect(page.locator("#pace")).to_contain_text("2 done today")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert texts(world, "once") == [NOTE, OTHER]


def test_two_tabs_store_one_answer_and_the_second_keeps_its_text(labeler: Visitor, world: World) -> None:
    first = begin(labeler, world, "tabs")
    second = labeler.new_page()
    with second.expect_response("**/prefetch"):
        second.goto(first.url)
    assert task(first) == task(second)
    second.locator("#answer").fill(OTHER)
    first.evaluate("localStorage.clear()")  # as if it were another computer
    first.reload()
    write(first, NOTE)
    expect(first.locator("#pace")).to_contain_text("1 done today")
    second.keyboard.press("Control+Enter")
    alert = second.get_by_role("alert").filter(has_text="has an answer of yours already")
    expect(alert).to_contain_text(NOTE)
    expect(alert).to_contain_text(OTHER)
    alert.get_by_role("button", name="Leave it so and go on").click()
    expect(second.get_by_role("alert")).to_have_count(0)
    assert task(second) == task(first)
    assert texts(world, "tabs") == [NOTE]


def test_a_refused_answer_comes_back_with_its_text_and_the_way_to_its_task(labeler: Visitor, world: World) -> None:
    page = begin(labeler, world, "refused")
    first = task(page)

    def spoil(route: Route) -> None:
        route.continue_(post_data=json.dumps({**route.request.post_data_json, "strength": 3}))

    page.route("**/submit", spoil, times=1)
    write(page, NOTE)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("An answer of yours was refused")
    expect(alert).to_contain_text("strength")
    expect(alert).to_contain_text(NOTE)
    expect(page.locator("#answer")).to_have_value("")  # the next task, and the focus is still in it
    page.keyboard.type("Meanwhile.")
    expect(page.locator("#answer")).to_have_value("Meanwhile.")
    alert.get_by_role("button", name="Go back to that task").press("Enter")
    expect(page.locator("#answer")).to_have_value(NOTE)
    assert task(page) == first
    page.keyboard.type(" Better.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer")).to_have_value("Meanwhile.")
    page.keyboard.press("Control+Enter")  # as by a double press: this is another task
    expect(page.locator("#task-state")).to_contain_text("press once more")
    page.wait_for_timeout(400)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#pace")).to_contain_text("2 done today")
    assert sorted(texts(world, "refused")) == sorted([f"{NOTE} Better.", "Meanwhile."])


def test_several_unsent_answers_survive_being_signed_out_and_a_reload(labeler: Visitor, world: World) -> None:
    page = begin(labeler, world, "several")
    labeler.context.clear_cookies(name="sessionid")
    first = task(page)
    write(page, NOTE)
    expect_next(page, first)
    write(page, OTHER)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("2 answers are not saved yet")
    expect(alert).to_contain_text(NOTE)
    expect(alert).to_contain_text(OTHER)
    page.reload()
    labeler.sign_in("labeler")
    page.goto(f"{labeler.url}/p/several/label/")
    expect(page.locator("#pace")).to_contain_text("2 done today")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert texts(world, "several") == [NOTE, OTHER]


def test_a_painted_task_that_went_to_somebody_else_is_replaced_and_its_text_kept_in_sight(
    labeler: Visitor, world: World
) -> None:
    page = begin(labeler, world, "gone")
    first, held = task(page), hold(page, "**/submit")
    write(page, NOTE)
    expect_next(page, first)
    submitted = caught(page, held)
    second = task(page)
    write(page, OTHER, submit=False)
    world("take_away", "gone", module="kinds")
    submitted.continue_()
    expect(page.get_by_role("alert")).to_contain_text(OTHER)
    expect(page.locator("#workspace")).not_to_have_attribute("data-assignment", second)
    page.get_by_role("button", name="Go on").click()
    write(page, "The third.")
    expect(page.locator("#pace")).to_contain_text("2 done today")
    assert texts(world, "gone") == [NOTE, "The third."]


def test_only_who_works_keeps_the_lease_and_the_reserved_task(labeler: Visitor, world: World) -> None:
    asked: list[str] = []
    page = labeler.page
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    page.clock.install()
    begin(labeler, world, "lease")
    task(page)
    for _ in range(3):
        page.keyboard.type("word ")
        page.clock.run_for(22_000)
    assert asked.count("renew") == 1
    assert asked.count("prefetch") == 2
    page.clock.run_for(30_000)  # nobody is here any more
    before = asked.count("renew"), asked.count("prefetch")
    page.clock.run_for(180_000)
    assert (asked.count("renew"), asked.count("prefetch")) == before


def test_what_stands_before_a_task_and_after_it(labeler: Visitor, world: World) -> None:
    """Guidelines to be read once, qualification with its feedback, a warning with a way out, a pause."""
    world("gates", "gates", module="kinds")
    page = labeler.go("/p/gates/label/")
    dialog = page.get_by_role("dialog", name="Please read the guidelines")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    with page.expect_response("**/read"):
        dialog.get_by_role("button", name="I have read them").press("Enter")
    expect(page.locator("#step")).to_have_text("Qualification: 1 of 2")
    for number, right in enumerate((True, False), 1):
        expect(page.locator("#step")).to_have_text(f"Qualification: {number} of 2")
        is_first_good = page.locator("[data-key=a] .prose").inner_text().startswith("Good")
        page.keyboard.press("1" if is_first_good == right else "2")
        page.keyboard.press("Enter")
        feedback = page.locator(".feedback")
        expect(feedback).to_contain_text("✓ Right" if right else "✕ Not as expected")
        expect(feedback).to_contain_text("It answers the question.")
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Before you go on")).to_be_visible()
    assert "dreadful" not in page.locator("#workspace").inner_html()
    page.get_by_role("button", name="Show the task").press("Enter")
    expect(page.locator("#workspace")).to_contain_text("dreadful")
    page.reload()
    page.get_by_role("button", name="Never give me such tasks").press("Enter")
    expect(page.get_by_role("heading", name="Nothing to label right now")).to_be_visible()
    world("pause", "gates", module="kinds")
    page.get_by_role("button", name="Look again").press("Enter")
    expect(page.get_by_role("heading", name="Your work here is paused")).to_be_visible()
    expect(page.locator("#workspace")).to_contain_text("5 of 12 gold tasks were right")
    page.reload()
    expect(page.get_by_role("heading", name="Your work here is paused")).to_be_visible()


def test_no_task_is_skipped_before_the_answers_are_stored(labeler: Visitor, world: World) -> None:
    page = begin(labeler, world, "unsent-skip")
    first = task(page)
    page.route("**/submit", lambda route: route.abort())
    write(page, NOTE)
    expect_next(page, first)
    second = task(page)
    page.keyboard.press("Escape")
    for key in ("s", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#task-state")).to_have_text("Your last answer has to be saved first.")
    assert task(page) == second
    page.unroute("**/submit")
    for key in ("s", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#workspace")).not_to_have_attribute("data-assignment", second)
    assert task(page) not in (first, second)
    assert texts(world, "unsent-skip") == [NOTE]


def test_a_begun_change_survives_a_reload_and_the_time_on_the_task_between_is_kept(
    labeler: Visitor, world: World
) -> None:
    page = begin(labeler, world, "change")
    first = task(page)
    write(page, NOTE)
    expect_next(page, first)
    page.wait_for_timeout(1_500)
    with page.expect_response("**/draft"):
        write(page, "Begun.", submit=False)
    page.locator("#undo-button").click()
    expect(page.locator("#answer")).to_have_value(NOTE)
    write(page, f"{NOTE} Changed.", submit=False)
    page.reload()
    expect(page.locator("#answer")).to_have_value("Begun.")
    page.locator("#undo-button").click()
    expect(page.locator("#answer")).to_have_value(f"{NOTE} Changed.")
    page.locator("#keep-button").click()
    page.wait_for_timeout(1_500)
    page.locator("#undo-button").click()
    expect(page.locator("#answer")).to_have_value(NOTE)  # what was let go does not come back
    page.locator("#keep-button").click()
    page.wait_for_timeout(500)  # the guard against a double press
    with page.expect_request("**/submit") as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.post_data_json["active_s"] > 1.5


def test_a_key_that_is_held_down_chooses_once(labeler: Visitor, world: World) -> None:
    world("same", "held", "seven ranks", "1", module="kinds")
    page = labeler.go("/p/held/label/")
    task(page)
    for _ in range(3):
        page.keyboard.down("1")  # without letting go: the second and third are repeats
    page.keyboard.up("1")
    expect(page.locator("#task-state")).to_have_text("1 of 7 ranked; B, C, D, E, F, G to go")
