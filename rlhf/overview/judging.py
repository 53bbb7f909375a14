"""What is being judged at this moment, from the lines that judge runs log: intervals that bear being looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Subquery

from rlhf.models import Project, Run, RunMetric
from rlhf.overview.timelines import BEFORE, FIRST

SHOWN = 10  # runs
NUMBERS = ("win_rate", "low", "high", "wins", "ties", "losses", "unsettled")


@dataclass(frozen=True)
class Judging:
    """A running judge run; `numbers` is empty until it logs them."""

    run: Run
    numbers: dict[str, Any]

    @property
    def num_prompts(self) -> int:
        return sum(self.numbers.get(name) or 0 for name in ("wins", "ties", "losses", "unsettled"))

    @property
    def row(self) -> dict[str, Any]:
        """What the timeline draws of it, a light band."""
        assert self.run.evaluation is not None and self.run.judge is not None
        baseline = self.run.evaluation.baseline
        return {
            "version": self.run.evaluation.candidate.name,
            "baseline": baseline.name,
            "kind": self.run.judge.kind,
            "against": FIRST if baseline.number == 0 else BEFORE,
            **self.numbers,
        }


def judging(*, project: Project) -> list[Judging]:
    newest = RunMetric.objects.filter(run=OuterRef("pk"), attempt=OuterRef("attempt")).order_by("-step", "-id")
    running = Run.objects.filter(project=project, kind=Run.Kind.JUDGE, state=Run.State.RUNNING)
    rows = (
        running.filter(evaluation__isnull=False, judge__isnull=False)
        .select_related("evaluation__candidate", "evaluation__baseline", "judge")
        .annotate(logged=Subquery(newest.values("values")[:1]))
        .order_by("id")[:SHOWN]
    )
    return [Judging(run, _numbers(run.logged)) for run in rows]


def _numbers(logged: dict[str, Any] | None) -> dict[str, Any]:
    found = {name: logged.get(name) for name in NUMBERS} if logged else {}
    return found if found.get("low") is not None else {}
