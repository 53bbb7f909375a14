"""An admin in a real browser: imports prompts, starts a run, watches its bar, cancels it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import ViewportSize, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

GOOD = ["Write a haiku about rain.", "Name three rivers.", "Say good morning politely."]
FILE = "\n".join([json.dumps({"prompt": GOOD[0]}), '{"prompt": ', json.dumps({"prompt": GOOD[1]}),
                  json.dumps({"prompt": 7}), json.dumps({"prompt": GOOD[2]})])  # fmt: skip
LEARNING_MS = 60_000  # a loaded machine imports torch slowly


@pytest.fixture
def hands(servers: services.Servers) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser", "hands"],
        cwd=services.ROOT,
        env=servers.environment,
        start_new_session=True,
    )
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.fixture
def admin(visitor: Callable[..., Visitor], servers: services.Servers) -> Visitor:
    servers.run("-m", "tests.browser", "steering", "steered")
    person = visitor()
    person.sign_in("admin")
    return person


def test_an_admin_imports_prompts_with_two_bad_rows_then_starts_watches_and_cancels_a_run(
    admin: Visitor, hands: None
) -> None:
    import_prompts(admin)
    start_watch_and_cancel(admin)
    assert admin.complaints == []


def import_prompts(admin: Visitor) -> None:
    page = admin.go("/admin/rlhf/prompt/")
    wide = page.viewport_size
    assert wide is not None
    for size in (wide, ViewportSize(width=390, height=844)):  # on a phone, too, it is one click away
        page.set_viewport_size(size)
        expect(page.get_by_role("link", name="Import from JSONL or CSV")).to_have_count(1)
    page.get_by_role("link", name="Import from JSONL or CSV").click()
    page.set_viewport_size(wide)
    page.get_by_label("Project").select_option(label="Kind answers: steered")
    page.locator("input[type=file]").set_input_files(
        {"name": "p.jsonl", "mimeType": "text/plain", "buffer": FILE.encode()}
    )
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("3 prompts")).to_be_visible()
    expect(page.get_by_text(re.compile("line 2"))).to_be_visible()
    expect(page.get_by_text(re.compile("line 4"))).to_be_visible()
    admin.go("/p/steered/prompts/")
    for text in GOOD:
        expect(page.get_by_role("cell", name=text)).to_be_visible()


def start_watch_and_cancel(admin: Visitor) -> None:
    page = admin.go("/p/steered/")
    page.get_by_role("button", name="Start the loop").click()
    page.get_by_role("link", name=re.compile("SFT #")).click(timeout=LEARNING_MS)
    bar = page.get_by_role("progressbar")
    expect(page.locator("[data-state=running]")).to_be_visible(timeout=LEARNING_MS)
    expect(bar).not_to_have_attribute("value", "0", timeout=LEARNING_MS)
    before = int(bar.get_attribute("value") or 0)
    expect(bar).not_to_have_attribute("value", str(before), timeout=LEARNING_MS)
    assert int(bar.get_attribute("value") or 0) > before
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-state=cancelled]")).to_be_visible(timeout=LEARNING_MS)
