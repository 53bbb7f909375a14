"""The overview: a document of all verdicts, made again whenever they have changed, by nobody's click."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from rlhf import evaluation_snapshots, evaluations, judges, runs
from rlhf.models import Estimate, Evaluation, EvaluationSnapshot, Project, Run, Verdict
from tests.rlhf.rows import answer, prompts, run, snapshot, verdict, version
from tests.workers.hands import NOW
from workers import overview
from workers.dispatch import Dispatcher
from workers.execute import Worker, open_worker
from workers.foreground import Foreground

pytestmark = pytest.mark.django_db(transaction=True)
LATER = datetime(2100, 1, 1, tzinfo=UTC)  # long after any overview


@pytest.fixture
def evaluation() -> Evaluation:
    """v1 against v0 on eight prompts; a person preferred v1 on six, and tied one."""
    project = Project.objects.create(name="Tulip", slug="tulip", base_model="tiny", salt="s" * 32, held_out_share=0.5)
    v0, v1 = version(project, "v0", 0), version(project, "v1", 1, iteration=1)
    asked = prompts(project, 8)
    for model in (v0, v1):
        by = run(project, purpose="evaluation", policy=model)
        for prompt in asked:
            answer(prompt, model, by, f"{model.name} answers {prompt.pk}")
    made = Evaluation.objects.create(project=project, candidate=v1, baseline=v0, iteration=1)
    people = judges.people_judge(project=project)
    for prompt, score in zip(asked, (1, 1, 1, 1, 1, 1, 0.5, 0), strict=True):
        verdict(made, people, prompt, score, rater="ann")
    return made


@pytest.fixture
def worker() -> Worker:
    return open_worker(resource="cpu")


def turn(project: Project, worker: Worker, now=LATER) -> list[str]:
    """Plan and work until nothing is left; the states of the runs that were asked for."""
    before = set(Run.objects.values_list("pk", flat=True))
    overview.plan(project=project, now=now)
    while worker.work():
        overview.plan(project=project, now=now)
    return [row.state for row in Run.objects.exclude(pk__in=before).order_by("id")]


def document(project: Project) -> dict:
    newest = evaluation_snapshots.newest(project=project)
    assert newest is not None
    return json.loads(evaluation_snapshots.text(snapshot=newest))


def test_a_document_follows_the_first_verdicts_whatever_the_loop_does(evaluation, worker):
    project = evaluation.project
    assert project.state != Project.State.ACTIVE
    assert turn(project, worker) == ["succeeded", "succeeded"]

    found = document(project)
    assert [row["name"] for row in found["versions"]] == ["v0", "v1"]
    assert [row["name"] for row in found["judges"]] == ["people"]
    cells = {row["split"]: row for row in found["cells"]}
    assert cells["all"]["win_rate"] == pytest.approx(6.5 / 8)
    assert [cells["all"][name] for name in ("wins", "ties", "losses", "unsettled")] == [6, 1, 1, 0]
    held_out = Verdict.objects.filter(prompt__split="held_out")
    assert cells["held_out"]["num_prompts"] == held_out.count()
    assert cells["held_out"]["wins"] == held_out.filter(score=1).count()
    # The numbers are the estimate's own, which the REST API shows.
    assert Estimate.objects.get(split="all").win_rate == cells["all"]["win_rate"]


def test_the_same_verdicts_are_shown_once_and_other_ones_anew(evaluation, worker):
    project = evaluation.project
    turn(project, worker)
    assert turn(project, worker) == []

    Verdict.objects.filter(score=0).update(withdrawn_at=NOW)
    assert turn(project, worker) == ["succeeded", "succeeded"]
    assert document(project)["num_verdicts"] == 7
    assert EvaluationSnapshot.objects.count() == 2
    assert Estimate.objects.values("run").distinct().count() == 1  # the newest overview's alone

    first = EvaluationSnapshot.objects.order_by("id").first()
    evaluations.restore_verdicts(verdicts=Verdict.objects.all())
    assert turn(project, worker) == ["succeeded", "succeeded"]
    assert evaluation_snapshots.newest(project=project) == first  # the same verdicts, the same bytes
    assert EvaluationSnapshot.objects.count() == 2


def test_rebuilding_a_document_gives_the_same_bytes(evaluation, worker):
    project = evaluation.project
    turn(project, worker)
    before = evaluation_snapshots.newest(project=project)
    overview.ask(project=project, now=LATER)
    worker.work()
    assert turn(project, worker) == ["succeeded"]
    assert evaluation_snapshots.newest(project=project) == before
    hashes = {row.result["outputs"]["document.json"] for row in Run.objects.filter(kind="estimate")}
    assert hashes == {before.sha256}


def test_a_snapshot_lists_its_verdicts_for_ever(evaluation, worker):
    project = evaluation.project
    judging = run(project, "judge", state=Run.State.RUNNING, evaluation=evaluation)
    machine = judges.gold_judge(project=project, name="gold")
    for prompt in prompts(project, 8):
        verdict(evaluation, machine, prompt, 1.0, run=judging, attempt=1)
    seen = set(evaluations.visible_verdicts().values_list("pk", flat=True))
    turn(project, worker)
    frozen = evaluation_snapshots.newest(project=project).verdicts
    assert set(evaluations.verdicts_as_of(snapshot=frozen).values_list("pk", flat=True)) == seen

    Verdict.objects.filter(score=0).update(withdrawn_at=NOW)
    Run.objects.filter(pk=judging.pk).update(state=Run.State.SUCCEEDED)
    ann = Verdict.objects.filter(rater="ann").first()
    Verdict.objects.create(
        evaluation=evaluation, project=project, judge=ann.judge, prompt=ann.prompt, score=0.0, rater="bea",
        candidate_completion=ann.candidate_completion, baseline_completion=ann.baseline_completion,
    )  # fmt: skip
    assert set(evaluations.verdicts_as_of(snapshot=frozen).values_list("pk", flat=True)) == seen


def test_an_overview_that_failed_is_not_asked_for_again_until_verdicts_change(evaluation, worker):
    project = evaluation.project
    overview.plan(project=project, now=NOW)
    claim = runs.claim(resource="cpu", worker="w", now=NOW)
    runs.fail(claim=claim, now=NOW, error="no disk")
    assert turn(project, worker) == []
    Verdict.objects.filter(score=0).update(withdrawn_at=NOW)
    assert turn(project, worker) == ["succeeded", "succeeded"]


def test_verdicts_that_keep_coming_wait_in_proportion_to_what_an_overview_costs(evaluation, worker):
    project = evaluation.project
    turn(project, worker)
    Run.objects.filter(purpose="overview", kind="freeze").update(started_at=NOW)
    Run.objects.filter(purpose="overview", kind="estimate").update(ended_at=NOW + timedelta(seconds=10))
    Verdict.objects.filter(score=0).update(withdrawn_at=NOW)
    overview.plan(project=project, now=NOW + timedelta(seconds=49))
    assert not Run.objects.filter(state="queued").exists()
    overview.plan(project=project, now=NOW + timedelta(seconds=51))
    assert Run.objects.filter(state="queued").count() == 1


def test_a_project_without_verdicts_asks_for_nothing(evaluation, worker):
    project = evaluation.project
    Verdict.objects.update(withdrawn_at=NOW)
    assert turn(project, worker) == []
    Verdict.objects.all().delete()
    assert turn(project, worker) == []
    with pytest.raises(overview.NothingToShow):
        overview.ask(project=project, now=NOW)


def test_work_in_the_foreground_ends_once_the_document_is_there(evaluation):
    with Foreground(stopping=threading.Event(), console=Console(file=io.StringIO())) as foreground:
        foreground.work(forever=False)
    assert foreground.num_failed == 0
    assert document(evaluation.project)["num_verdicts"] == 8
    assert not Run.objects.filter(state__in=("queued", "running")).exists()


def test_an_overview_that_cannot_be_planned_stops_neither_the_loop_nor_other_projects(evaluation):
    other = Project.objects.create(name="Rose", slug="rose", base_model="tiny", salt="r" * 32)
    Project.objects.filter(pk=evaluation.project.pk).update(loop={"seed": "none"})
    overview.plan(project=evaluation.project, now=NOW)
    claim = runs.claim(resource="cpu", worker="w", now=NOW)
    frozen = snapshot(evaluation.project)
    runs.succeed(claim=claim, now=NOW, result={}, made_snapshot=frozen)
    Verdict.objects.filter(score=0).update(project=other)

    dispatcher = Dispatcher()
    dispatcher.plan_overviews(now=LATER)
    assert "overview of tulip" in dispatcher.complaints
    assert Run.objects.filter(project=other, purpose="overview", state="queued").count() == 1
