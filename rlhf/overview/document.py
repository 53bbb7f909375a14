"""An evaluation's document (docs/evaluation.md), read once and found by what a page asks for. It computes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from rlhf import evaluation_snapshots
from rlhf.charts import KINDS
from rlhf.models import EvaluationSnapshot, Split

Piece = Mapping[str, Any]
HELD_OUT, ALL = Split.HELD_OUT.value, "all"


class Document:
    """Versions are in their numeric order, those without a number (rivals) last; judges in the order of KINDS."""

    def __init__(self, content: Piece, sha256: str) -> None:
        self.content, self.sha256 = content, sha256
        self.versions = {row["id"]: row for row in sorted(content["versions"], key=_version_order)}
        self.judges = {row["id"]: row for row in sorted(content["judges"], key=_judge_order)}

    def pieces(self, name: str) -> list[Piece]:
        return self.content.get(name) or []

    @cached_property
    def numbered(self) -> list[Piece]:
        """The project's own versions, in order."""
        return [row for row in self.versions.values() if row.get("number") is not None]

    @cached_property
    def split(self) -> str:
        """Held-out prompts count; all of them where none is held out (verdicts made elsewhere)."""
        return HELD_OUT if any(cell["split"] == HELD_OUT for cell in self.pieces("cells")) else ALL

    @cached_property
    def cells(self) -> dict[tuple[int, int, int], Piece]:
        """(candidate, baseline, judge) -> cell of `split`."""
        return {
            (cell["candidate"], cell["baseline"], cell["judge"]): cell
            for cell in self.pieces("cells")
            if cell["split"] == self.split
        }

    @cached_property
    def cells_of_pair(self) -> dict[tuple[int, int], list[Piece]]:
        """(candidate, baseline) -> its cells, judges in order."""
        found: dict[tuple[int, int], list[Piece]] = defaultdict(list)
        for candidate, baseline, judge in sorted(self.cells, key=lambda key: self.judge_places.get(key[2], 0)):
            found[candidate, baseline].append(self.cells[candidate, baseline, judge])
        return found

    @cached_property
    def judge_places(self) -> dict[int, int]:
        return {pk: place for place, pk in enumerate(self.judges)}

    @cached_property
    def chain(self) -> list[tuple[Piece, Piece]]:
        """(candidate, baseline): each numbered version with the nearest one before it that it was compared with."""
        pairs = []
        for place, candidate in enumerate(self.numbered):
            earlier = reversed(self.numbered[:place])
            found = next((old for old in earlier if (candidate["id"], old["id"]) in self.cells_of_pair), None)
            if found is not None:
                pairs.append((candidate, found))
        return pairs

    @cached_property
    def latest_judges(self) -> list[Piece]:
        """Of each kind the newest judge: a project has a reward model per iteration."""
        newest: dict[str, Piece] = {}
        for judge in self.judges.values():
            if judge["id"] >= newest.get(judge["kind"], judge)["id"]:
                newest[judge["kind"]] = judge
        return list(newest.values())

    def of_judge(self, name: str, judge: int | None) -> Piece | None:
        return next((row for row in self.pieces(name) if row["judge"] == judge), None)

    def of_evaluation(self, name: str, evaluation: int | None, judge: int | None) -> list[Piece]:
        return [row for row in self.pieces(name) if (row["evaluation"], row["judge"]) == (evaluation, judge)]

    @cached_property
    def pair_of_evaluation(self) -> dict[int, tuple[int, int]]:
        return {cell["evaluation"]: (cell["candidate"], cell["baseline"]) for cell in self.pieces("cells")}

    def baseline_of(self, evaluation: int) -> Piece | None:
        pair = self.pair_of_evaluation.get(evaluation)
        return self.versions[pair[1]] if pair else None

    def was_training_reward(self, judge: int, version: int) -> bool:
        return version in self.judges[judge].get("trained", ())

    def independent(self, cells: Iterable[Piece]) -> list[Piece]:
        """The cells whose judge the candidate was not trained on, in the order of KINDS."""
        return [cell for cell in cells if not self.was_training_reward(cell["judge"], cell["candidate"])]


@lru_cache(maxsize=evaluation_snapshots.KEPT)
def _read(pk: int, sha256: str) -> Document:
    snapshot = EvaluationSnapshot(pk=pk, sha256=sha256)
    return Document(evaluation_snapshots.content(snapshot=snapshot), sha256)


def read(*, snapshot: EvaluationSnapshot) -> Document:
    """The document of a snapshot: it never changes, so its indices too are made once in a process."""
    return _read(snapshot.pk, snapshot.sha256)


def _version_order(row: Piece) -> tuple[bool, int, int]:
    number = row.get("number")
    return number is None, number or 0, row["id"]


def _judge_order(row: Piece) -> tuple[int, int]:
    return list(KINDS).index(row["kind"]) if row["kind"] in KINDS else len(KINDS), row["id"]
