"""The pictures of docs/labeling.md: `pytest tests/browser/test_labeling_images.py --labeling-images`.

Chinese and Arabic need fonts on the machine that takes them (Debian: fonts-noto-cjk or fonts-wqy-microhei).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser import test_access
from tests.browser.conftest import Visitor
from tests.browser.test_access import CHINESE, ENGLISH

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images" / "labeling"
MAX_BYTES = 150_000
# By width, colours and language: the states of test_access.states that are kept.
PICTURES: dict[tuple[int, str, str], tuple[str, ...]] = {
    (1280, "light", ENGLISH): ("home", "compare", "differences", "rank", "keys", "edit", "feedback", "own-compared"),
    (1280, "dark", ENGLISH): ("warned", "llama2", "unread", "undone", "paused", "empty"),
    (1280, "light", CHINESE): ("login", "prompt", "skip", "unsent"),
    (1280, "dark", CHINESE): ("compare", "rank", "guidelines"),
    (390, "light", ENGLISH): ("compare", "demonstrate"),
    (390, "dark", CHINESE): ("rank", "arabic"),
}
rooms = test_access.rooms


@pytest.mark.parametrize(("width", "color_scheme", "locale"), PICTURES)
def test_pictures_of_the_labeler_pages(
    visitor: Callable[..., Visitor], rooms: dict[str, str], width: int, color_scheme: Any, locale: str
) -> None:
    wanted = set(PICTURES[width, color_scheme, locale])
    person = visitor(width=width, color_scheme=color_scheme, locale=locale)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in test_access.states(person, rooms):
        if name in wanted:
            path = FOLDER / f"{name}-{locale[:2]}-{color_scheme}-{width}.png"
            page.screenshot(path=path)
            assert path.stat().st_size < MAX_BYTES, f"{path.name}: expected under {MAX_BYTES:,} bytes"
            wanted.remove(name)
    assert not wanted, f"no such states: {sorted(wanted)}"
