"""The overview: all verdicts of a project frozen, and their document estimated, whenever they have changed.

Not a part of the loop: it goes on where the loop is paused or finished, decides nothing, and one that failed is asked
for again only when there are other verdicts. Its plan keys name the verdicts, so asking twice asks once.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Max

from rlhf import evaluations, families, runs, training_rewards
from rlhf.models import Judge, ModelVersion, Project, Run, Verdict

PURPOSE = "overview"
UNDER_WAY = (Run.State.QUEUED, Run.State.RUNNING)
SHARE = 5  # at most one part in so many of the time goes into overviews while verdicts keep coming in


class NothingToShow(Exception):
    """Nobody has judged, or all of it was withdrawn."""


def plan(*, project: Project, now: datetime, patient: bool = True) -> None:
    """Ask for the next step of the overview that the project's verdicts lack, if any.

    `patient`: while verdicts keep coming in, leave pauses in proportion to what the overview before has cost.
    """
    there = content(project=project)
    if there is None:
        return
    last = Run.objects.filter(project=project, purpose=PURPOSE).order_by("-id").first()
    if last is not None and last.state in UNDER_WAY:
        return
    if last is not None and last.made_snapshot is not None:
        _ask_estimate(last, now)
    elif last is not None and (_content_of(last) == there or (patient and now < _rested_at(last))):
        return
    elif _has_visible(project):
        _ask_freeze(project, there, last, now)


def ask(*, project: Project, now: datetime) -> Run:
    """Ask for an overview of the verdicts there are, whether they have changed or not; the run that is to come first.

    The document is made again from the verdicts, and is the same. Raises NothingToShow.
    """
    there = content(project=project)
    if there is None or not _has_visible(project):
        raise NothingToShow(f"{project.slug}: expected verdicts, found none")
    last = Run.objects.filter(project=project, purpose=PURPOSE).order_by("-id").first()
    if last is not None and last.state in UNDER_WAY:
        return last
    return _ask_freeze(project, there, last, now)


def is_current(*, project: Project) -> bool:
    """Whether the newest document shows all verdicts that count now."""
    last = Run.objects.filter(project=project, purpose=PURPOSE).order_by("-id").first()
    if last is None or (last.kind, last.state) != (Run.Kind.ESTIMATE, Run.State.SUCCEEDED):
        return False
    return _content_of(last) == content(project=project)


def content(*, project: Project) -> str | None:
    """A name for the verdicts that count now: other verdicts, another name. None where nobody has judged.

    The newest one, the runs whose verdicts have become visible, and those that were withdrawn.
    """
    newest = Verdict.objects.filter(project=project).order_by("-id").values_list("pk", flat=True).first()
    if newest is None:
        return None
    taken = Verdict.objects.filter(project=project, withdrawn_at__isnull=False).aggregate(
        num=Count("pk"), at=Max("withdrawn_at")
    )
    num_runs = Run.objects.filter(
        project=project, kind__in=(Run.Kind.JUDGE, Run.Kind.IMPORT), state=Run.State.SUCCEEDED
    ).count()
    withdrawn = f"-{taken['num']}-{taken['at'].timestamp():.6f}" if taken["num"] else ""
    return f"{newest}-{num_runs}{withdrawn}"


def configuration(*, project: Project) -> dict[str, object]:
    """Who is who among the versions that were compared and the judges, for the estimate's configuration."""
    compared = project.evaluations.values_list("candidate", "baseline")
    ids = sorted({pk for pair in compared for pk in pair})
    trained = training_rewards.by_reward_model(project=project)
    found = ModelVersion.objects.filter(project=project).select_related("project").in_bulk(ids)
    judges = Judge.objects.filter(project=project).select_related("version__project").order_by("pk")
    return {
        "seed": int(project.loop.get("seed", 0)),
        "versions": [_version(found[pk]) for pk in ids],
        "judges": [_judge(judge, trained) for judge in judges],
    }


def _version(version: ModelVersion) -> dict[str, object]:
    return {
        "id": version.pk,
        "name": version.name,
        "kind": version.kind,
        "number": version.number,
        "family": families.of_version(version=version),
    }


def _judge(judge: Judge, trained: dict[int, list[int]]) -> dict[str, object]:
    return {
        "id": judge.pk,
        "name": judge.name,
        "kind": judge.kind,
        "identity": judge.identity,
        "family": families.of_judge(judge=judge),
        "trained": trained.get(judge.version_id, []) if judge.version_id else [],
    }


def _has_visible(project: Project) -> bool:
    return evaluations.visible_verdicts().filter(project=project).exists()


def _ask_freeze(project: Project, there: str, last: Run | None, now: datetime) -> Run:
    """Verdicts that were withdrawn and restored are there a second time, so the key names the overview before, too."""
    return runs.ask(
        project=project,
        kind=Run.Kind.FREEZE,
        plan_key=f"overview/freeze/{there}/{0 if last is None else last.pk}",
        purpose=PURPOSE,
        selection={"dataset": "verdicts"},
        now=now,
    )


def _ask_estimate(freeze: Run, now: datetime) -> None:
    runs.ask(
        project=freeze.project,
        kind=Run.Kind.ESTIMATE,
        plan_key=f"overview/estimate/{_content_of(freeze)}/{freeze.pk}",
        purpose=PURPOSE,
        configuration=configuration(project=freeze.project),
        snapshot=freeze.made_snapshot,
        now=now,
    )


def _content_of(run: Run) -> str:
    return run.plan_key.split("/")[2]


def _rested_at(last: Run) -> datetime:
    """When the next overview may begin: an estimate's key ends with the id of its freeze."""
    first = last if last.kind == Run.Kind.FREEZE else Run.objects.get(pk=last.plan_key.rpartition("/")[2])
    if first.started_at is None or last.ended_at is None:
        return last.created_at
    return last.ended_at + (SHARE - 1) * (last.ended_at - first.started_at)
