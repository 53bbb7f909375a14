"""A researcher in a real browser: from the timeline to the two answers behind a verdict, and a snapshot to keep."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, follow

pytestmark = pytest.mark.browser


@pytest.fixture
def researcher(visitor: Callable[..., Visitor], world: Callable[..., dict[str, Any]]) -> Visitor:
    world("research", "record")
    person = visitor()
    person.sign_in("researcher")
    return person


def test_from_the_timeline_to_two_answers_in_two_clicks_and_a_snapshot_downloaded(
    researcher: Visitor, tmp_path: Path
) -> None:
    page = researcher.go("/p/record/")
    follow(page.get_by_role("link", name=re.compile("v2 over v1 by people")))
    follow(page.locator("table").last.get_by_role("link").first)
    expect(page).to_have_url(re.compile(r"/evaluations/\d+/pairs/\d+/"))
    expect(page.get_by_role("heading", name="v2", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="v1", exact=True)).to_be_visible()
    expect(page.get_by_text("It made a hard day easier.")).to_be_visible()
    expect(page.get_by_role("region", name="Verdicts")).to_contain_text("people")

    follow(page.get_by_role("link", name="Runs"))
    follow(page.get_by_role("link", name=re.compile("PPO")).first)
    constant = page.get_by_label("kl_coefficient by step")  # a curve that never moves is labelled with its value
    expect(constant.get_by_text("0.1", exact=True)).to_be_visible()
    expect(constant.get_by_text("0", exact=True)).to_have_count(0)

    follow(page.get_by_role("link", name="Datasets"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Parquet").first.click()
    saved = tmp_path / "snapshot.parquet"
    download.value.save_as(saved)
    shown = page.locator("td.hash").first.inner_text()
    assert hashlib.sha256(saved.read_bytes()).hexdigest().startswith(shown)
    assert researcher.complaints == []
