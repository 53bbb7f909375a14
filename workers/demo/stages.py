"""How far the demo is, read from the rows that the pages show: one stage per kind of work and round."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q

from annotate.models import Protocol, Submission, Task
from rlhf.models import Project, Run
from workers import overview

# (kind, purpose) of a run -> its stage; the order is the order on screen.
STAGES = (
    "pre-training", "demonstrations", "SFT", "answers to rank", "ranking", "reward model", "best-of-N", "PPO",
    "answers to compare", "judging", "LLM judging", "comparing", "win rates", "audit",
)  # fmt: skip
OF_RUN = {
    Run.Kind.SFT: "SFT",
    Run.Kind.REWARD: "reward model",
    Run.Kind.BEST_OF_N: "best-of-N",
    Run.Kind.PPO: "PPO",
    Run.Kind.JUDGE: "judging",
    Run.Kind.FREEZE: "win rates",
    Run.Kind.ESTIMATE: "win rates",
}
OF_PURPOSE = {"ranking": "answers to rank", "evaluation": "answers to compare", "audit": "audit"}
OF_FREEZE = {"demonstrations": "SFT", "rankings": "reward model"}
OF_TASK = {
    Protocol.Kind.DEMONSTRATE: "demonstrations",
    Protocol.Kind.RANK: "ranking",
    Protocol.Kind.COMPARE: "comparing",
}


@dataclass
class Stage:
    """`done` of `total` in `unit`; `busy_s` is the time between its starts and ends, waiting left out."""

    name: str
    iteration: int
    done: float = 0
    total: float = 0
    unit: str = ""
    busy_s: float = 0.0
    running: bool = False
    failed: bool = False
    attempts: int = 0

    @property
    def title(self) -> str:
        return f"round {self.iteration} · {self.name}" if self.iteration else self.name

    @property
    def finished(self) -> bool:
        return self.total > 0 and self.done >= self.total and not self.running

    @property
    def speed(self) -> float | None:
        return self.done / self.busy_s if self.busy_s > 0.5 and self.done else None

    @property
    def left_s(self) -> float | None:
        return (self.total - self.done) / self.speed if self.speed and self.running else None


def read(*, project: Project, now: datetime) -> list[Stage]:
    """Every stage that has begun, in the order of the loop."""
    found: dict[tuple[int, str], Stage] = {}
    for run in project.runs.exclude(purpose__in=("try", overview.PURPOSE)).order_by("id"):
        name = _stage_of(run)
        _add_run(found.setdefault((run.iteration, name), Stage(name, run.iteration)), run, now)
    for name, iteration, stage in _people(project, now):
        found[iteration, name] = stage
    return sorted(found.values(), key=lambda stage: (stage.iteration, STAGES.index(stage.name)))


def _stage_of(run: Run) -> str:
    if run.purpose in OF_PURPOSE:
        return OF_PURPOSE[run.purpose]
    if run.kind == Run.Kind.JUDGE and run.resource == Run.Resource.NETWORK:
        return "LLM judging"
    if run.kind == Run.Kind.FREEZE:
        return OF_FREEZE.get(str(run.selection.get("dataset")), "win rates")
    return OF_RUN[Run.Kind(run.kind)]


def _add_run(stage: Stage, run: Run, now: datetime) -> None:
    """Steps are the unit where a stage is one run; where it is several, each run counts in parts."""
    over = run.state == Run.State.SUCCEEDED
    if run.kind not in (Run.Kind.FREEZE, Run.Kind.ESTIMATE):
        steps = run.total_steps or 1
        stage.total += steps
        stage.done += steps if over else min(run.step, steps)
        stage.unit = "step"
    elif run.kind == Run.Kind.ESTIMATE:
        stage.total += 1
        stage.done += over
    if run.started_at:
        stage.busy_s += ((run.ended_at or now) - run.started_at).total_seconds()
    stage.running |= run.state in (Run.State.QUEUED, Run.State.RUNNING)
    stage.failed |= run.state == Run.State.FAILED
    stage.attempts = max(stage.attempts, run.attempt)


def _people(project: Project, now: datetime) -> Iterable[tuple[str, int, Stage]]:
    tasks = Task.objects.filter(project=project).exclude(state=Task.State.CLOSED)
    for row in (
        tasks.order_by()
        .values("kind", "iteration")
        .annotate(total=Count("id"), done=Count("id", filter=Q(state=Task.State.DONE)), opened_at=Min("created_at"))
    ):
        name = OF_TASK[Protocol.Kind(row["kind"])]
        latest = Submission.objects.filter(
            project=project, assignment__task__kind=row["kind"], assignment__task__iteration=row["iteration"]
        ).aggregate(at=Max("created_at"))["at"]
        open_tasks = row["done"] < row["total"]
        end = now if open_tasks else latest or now
        busy_s = (end - row["opened_at"]).total_seconds()
        unit = "answer"
        yield name, row["iteration"], Stage(name, row["iteration"], row["done"], row["total"], unit, busy_s, open_tasks)
