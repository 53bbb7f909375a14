"""An admin builds the published protocols in the administration, and a labeler completes each, without code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

POST = """async ([path, body]) => {
  const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
  const headers = {'Content-Type': 'application/json', 'X-CSRFToken': token};
  const id = '5b0e0f7e-9c1a-4b7e-8a53-5d1c0e6b8f11';
  const reply = await fetch(path, {method: 'POST', headers, body: JSON.stringify({submission_id: id, ...body})});
  return [reply.status, (await reply.json()).field];
}"""
REASON = "The first one is warm and short."
RANKS, RATINGS, FLAGS = {"a": 1, "b": 2, "c": 3, "d": 4}, dict.fromkeys("abcd", 5), {key: [] for key in "abcd"}
SHEET: dict[str, Any] = {"ranks": RANKS, "ratings": RATINGS, "flags": FLAGS, "reason": REASON}
WRONG: dict[str, dict[str, dict[str, Any]]] = {
    "instructgpt": {
        "ranks": SHEET | {"ranks": RANKS | {"d": 5}},
        "flags": SHEET | {"flags": FLAGS | {"a": ["no_such_flag"]}},
        "reason": SHEET | {"reason": "Short."},
        "ratings": SHEET | {"ratings": RATINGS | {"b": 8}},
    },
    "llama2": {
        "strength": {"ranks": {"a": 1, "b": 2}, "safety": "both"},
        "safety": {"ranks": {"a": 1, "b": 2}, "strength": 4},
        "ranks": {"ranks": {"a": 1, "b": 1}, "safety": "both"},
    },
    "arena": {"all_bad": {"ranks": {"a": 1, "b": 1}, "all_bad": "yes"}, "ranks": {"all_bad": True}},
}
KEYS: dict[str, list[str]] = {
    "instructgpt": [*"72", "Enter", *"5", "Enter", *"3", "Enter", *"1", "Enter", *"1223", "Enter"],
    "llama2": [*"23"],  # "A is better", "neither is safe"
    "arena": ["x"],
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, fleet: Callable[[str], services.Servers]) -> services.Servers:
    return fleet(request.param)


def build(page: Page, url: str, preset: str) -> None:
    """From the preset, and then changed: InstructGPT with a written reason."""
    page.goto(f"{url}/admin/annotate/protocol/add/")
    page.locator("[name=project]").select_option(label="Kind answers: presets")
    page.locator("[name=preset]").select_option(preset)
    page.locator("[name=name]").fill(preset)
    page.locator("[name=_save]").click()
    expect(page.get_by_text(f"{preset} is there")).to_be_visible()
    if preset == "instructgpt":
        page.locator("[name=reason_min_characters]").fill("20")
        page.locator("[name=_save]").click()
        expect(page.get_by_text("was changed successfully")).to_be_visible()


def test_the_published_protocols_are_built_in_the_administration_and_completed(
    visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]]
) -> None:
    world("bare", "presets", module="kinds")
    admin, labeler = visitor(), visitor()
    admin.sign_in("admin")
    labeler.sign_in("labeler")
    for preset in WRONG:
        build(admin.page, admin.url, preset)
    world("under", "presets", *WRONG, module="kinds")
    page = labeler.go("/p/presets/label/")
    for done, (preset, wrong) in enumerate(WRONG.items()):
        confirm = page.get_by_role("button", name="I have read them")
        if preset != "arena":  # which does not ask to confirm its guidelines
            confirm.press("Enter")
        assignment = page.locator("#workspace").get_attribute("data-assignment")
        path = f"/api/v1/labeling/presets/assignments/{assignment}/submit"
        for field, body in wrong.items():
            assert page.evaluate(POST, [path, body]) == [400, field], f"{preset}: {field}"
        assert len(world("submissions", "presets")["bodies"]) == done
        for key in KEYS[preset]:
            page.keyboard.press(key)
        if preset == "instructgpt":
            page.keyboard.type(REASON)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#pace")).to_contain_text(f"{done + 1} done today")
    instructgpt, llama2, arena = world("submissions", "presets")["bodies"]
    assert instructgpt["ratings"] == {"a": 7, "b": 5, "c": 3, "d": 1}
    assert instructgpt["ranks"] == {"a": 1, "b": 2, "c": 2, "d": 3}
    assert [len(names) for names in instructgpt["flags"].values()] == [1, 0, 0, 0]
    assert instructgpt["reason"] == REASON
    assert llama2 == {"ranks": {"a": 1, "b": 2}, "strength": 3, "safety": "neither"}
    assert arena == {"ranks": {"a": 1, "b": 1}, "all_bad": True}
