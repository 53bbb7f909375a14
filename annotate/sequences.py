"""How far a person came: how many tasks they began under each protocol, and from where on there is something new.

Both are read and written under a lock of the person's own row, so that a person's requests queue behind each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from annotate.models import Sequence
from rlhf.statements import change, from_json, locked, rows

MINE = "SELECT id, places FROM annotate_sequence WHERE project_id = %(project)s AND labeler_id = %(labeler)s"
STORE = "UPDATE annotate_sequence SET places = %(places)s WHERE id = %(id)s"
MIN_BLOCK = 20  # shorter blocks would let a person feel where the gold is


@dataclass
class Steps:
    """A person's sequence while its row is locked; `store` keeps what changed."""

    id: int
    places: dict[str, Any]
    changed: bool = False

    def num_begun(self, protocol_id: int) -> int:
        return int(self._places(protocol_id)["num"])

    def count(self, protocol_id: int) -> None:
        self._places(protocol_id)["num"] += 1
        self.changed = True

    def start(self, protocol_id: int, level: str) -> int:
        """The queue place of the first task of this level that is new to the person, as far as is known."""
        return int(self._places(protocol_id)["from"].get(level, 0))

    def move_start(self, protocol_id: int, level: str, place: int) -> None:
        if self.start(protocol_id, level) != place:
            self._places(protocol_id)["from"][level] = place
            self.changed = True

    def store(self) -> None:
        if self.changed:
            change(STORE, id=self.id, places=json.dumps(self.places))

    def _places(self, protocol_id: int) -> dict[str, Any]:
        places: dict[str, Any] = self.places.setdefault(str(protocol_id), {"num": 0, "from": {}})
        return places


def lock(*, project_id: int, labeler_id: int) -> Steps:
    """Call it in a transaction; the row stays locked until that ends."""
    found = rows(locked(MINE), project=project_id, labeler=labeler_id)
    if not found:
        Sequence.objects.get_or_create(project_id=project_id, labeler_id=labeler_id)
        found = rows(locked(MINE), project=project_id, labeler=labeler_id)
    ((pk, places),) = found
    return Steps(pk, from_json(places))


def is_gold(*, seed: str, position: int, percent: int) -> bool:
    """Whether the task at this position of a sequence is gold: exactly `percent` in each block, in a seeded order."""
    if percent == 0:
        return False
    unit = 100 // math.gcd(percent, 100)
    size = unit * math.ceil(MIN_BLOCK / unit)
    block, place = divmod(position, size)
    order = sorted(range(size), key=lambda index: hashlib.sha256(f"{seed}:{block}:{index}".encode()).digest())
    return place in order[: size * percent // 100]
