"""Careful, random, always-left and too-fast people are told apart within 60 items, by the modules that serve them."""

from __future__ import annotations

import pytest

from rlhf.models import Project
from tests.annotate.crowd import Crowd, open_tasks

ITEMS = 60


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_careless_are_paused_within_60_items_and_the_careful_never(project: Project, seed: int) -> None:
    open_tasks(project=project, num=130, num_gold=40, seed=seed)
    crowd = Crowd(project=project, seed=seed, kinds=["careful", "careful", "careful", "random", "left", "fast"])

    crowd.work(rounds=ITEMS + 1)

    found = {name: (num, crowd.reason(name)) for name, num in crowd.paused_after.items()}
    assert set(found) == {"random 3", "left 4", "fast 5"}, found
    assert {name: rule for name, (_, rule) in found.items()} == {
        "random 3": "accuracy", "left 4": "position", "fast 5": "pace"
    }  # fmt: skip
    assert max(num for num, _ in found.values()) <= ITEMS
