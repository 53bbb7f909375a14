"""What can be set is written down: a setting that the documents don't name fails here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config.environment import KNOWN
from rlhf.loop_settings import LoopSettings

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", [*KNOWN, "DATABASE_URL", "REDIS_URL"])
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(LoopSettings)])
def test_every_setting_of_the_loop_is_in_its_document(field: str) -> None:
    assert f"`{field}`" in (ROOT / "docs" / "loop.md").read_text()


@pytest.mark.parametrize("image", ["labeling.png", "dashboard.png"])
def test_the_readme_shows_small_pictures(image: str) -> None:
    path = ROOT / "docs" / "images" / image

    assert f"docs/images/{image}" in (ROOT / "README.md").read_text()
    assert path.stat().st_size < 300_000
