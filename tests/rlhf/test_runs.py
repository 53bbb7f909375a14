"""Runs: asked for once, claimed once, and changed only by whoever holds the claim."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from rlhf import metrics, resources, run_kinds, runs
from rlhf.models import ModelVersion, Project, Run
from rlhf.runs import Beat, Claim, Progress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)


@pytest.fixture
def project(either_database: None) -> Project:
    return Project.objects.create(name="P", slug="p", base_model="m", salt="s")


@pytest.fixture
def base(project: Project) -> ModelVersion:
    return ModelVersion.objects.create(project=project, kind="base", name="base", source="m")


@pytest.fixture
def run(project: Project, base: ModelVersion) -> Run:
    return runs.ask(project=project, kind="sft", plan_key="sft", policy=base, now=NOW)


def claim(*, worker: str = "w", now: datetime = NOW, resource: str = "gpu") -> Claim:
    taken = runs.claim(resource=resource, worker=worker, now=now)
    assert taken is not None
    return taken


def test_asking_twice_plans_once(project: Project, base: ModelVersion, run: Run) -> None:
    again = runs.ask(project=project, kind="sft", plan_key="sft", policy=base, iteration=7, now=LATER)

    assert again == run
    assert again.iteration == 0
    assert again.created_at == NOW


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "bake"}, "kind: expected one of .*, found 'bake'"),
        ({"configuration": {"num_epoch": 2}}, "unknown keys"),
        ({"configuration": {"num_epochs": 0}}, "num_epochs: expected at least 1, found 0"),
        ({"configuration": {"model": "x"}}, "model comes from the run's versions"),
        ({"policy": None}, "needs a version for model, found none"),
        ({"kind": "freeze", "configuration": {"x": 1}}, "a freeze run has no configuration"),
    ],
)
def test_what_a_kind_cannot_run_is_refused(
    project: Project, base: ModelVersion, values: dict[str, object], message: str
) -> None:
    arguments: dict[str, object] = {"kind": "sft", "policy": base, **values}
    with pytest.raises(run_kinds.BadRun, match=message):
        runs.ask(project=project, plan_key="x", now=NOW, **arguments)  # type: ignore[arg-type]
    assert not Run.objects.exists()


def test_the_oldest_run_of_the_resource_is_claimed_first(project: Project, base: ModelVersion, run: Run) -> None:
    later = runs.ask(project=project, kind="sft", plan_key="later", policy=base, now=NOW)
    freeze = runs.ask(project=project, kind="freeze", plan_key="freeze", now=NOW)

    assert claim() == Claim(run.pk, 1)
    assert claim(resource="cpu") == Claim(freeze.pk, 1)
    assert claim() == Claim(later.pk, 1)
    assert runs.claim(resource="gpu", worker="w", now=NOW) is None


@pytest.mark.parametrize(
    ("kind", "configuration", "resource"),
    [
        ("judge", {"backend": "openai", "server": {"base_url": "http://x/v1", "model": "m"}}, "network"),
        ("judge", {"backend": "vllm", "judge_model": "m"}, "gpu"),
        ("sample", {"sampling": {"backend": "openai", "server": {"base_url": "http://x/v1", "model": "m"}}}, "network"),
        ("sample", {}, "gpu"),
    ],
)
def test_a_run_that_waits_for_a_server_never_holds_a_device(
    project: Project, base: ModelVersion, kind: str, configuration: dict[str, object], resource: str
) -> None:
    policy = base if kind == "sample" else None
    asked = runs.ask(project=project, kind=kind, plan_key="x", policy=policy, configuration=configuration, now=NOW)

    assert asked.resource == resource
    others = {"gpu", "cpu", "network"} - {resource}
    assert all(runs.claim(resource=other, worker="w", now=NOW) is None for other in others)
    assert claim(resource=resource) == Claim(asked.pk, 1)


def test_a_reward_model_judges_on_a_device_and_answers_of_an_endpoint_come_over_the_network(project: Project) -> None:
    reward = ModelVersion.objects.create(project=project, name="rm1", kind="reward")
    served = ModelVersion.objects.create(project=project, name="rival", kind="endpoint")
    found = [
        resources.of(run=Run(project=project, kind="judge", reward_model=reward)),
        resources.of(run=Run(project=project, kind="sample", policy=served)),
        resources.of(run=Run(project=project, kind="sample", policy=reward)),
    ]
    assert found == ["gpu", "network", "gpu"]


def test_a_heartbeat_stores_progress_and_hears_of_a_cancel(run: Run) -> None:
    token = claim()
    assert runs.heartbeat(claim=token, now=LATER, progress=Progress(3, 10, "train", "hello")) == Beat.LIVE

    run.refresh_from_db()
    assert (run.step, run.total_steps, run.phase, run.log) == (3, 10, "train", "hello")
    assert run.heartbeat_at == LATER
    runs.request_cancel(run=run, now=LATER)
    assert runs.heartbeat(claim=token, now=LATER, progress=Progress()) == Beat.CANCEL


def test_success_needs_the_claim_and_no_cancel(run: Run) -> None:
    token = claim()
    assert not runs.succeed(claim=Claim(run.pk, 2), now=NOW, result={})
    assert runs.succeed(claim=token, now=LATER, result={"loss": 1.0})

    run.refresh_from_db()
    assert (run.state, run.result, run.ended_at) == ("succeeded", {"loss": 1.0}, LATER)
    assert not runs.succeed(claim=token, now=LATER, result={"loss": 2.0})


def test_a_stale_token_changes_nothing(run: Run) -> None:
    old = claim(worker="thought dead")
    assert runs.requeue_stale(now=LATER, stale_s=20) == 1
    new = claim(worker="next", now=LATER)
    before = Run.objects.filter(pk=run.pk).values().get()

    assert runs.heartbeat(claim=old, now=LATER, progress=Progress(9, 9, "x", "y")) == Beat.LOST
    assert not runs.succeed(claim=old, now=LATER, result={"stolen": True})
    assert not runs.fail(claim=old, now=LATER, error="x")
    assert not runs.crash(claim=old, now=LATER, error="x")
    assert not runs.release(claim=old, now=LATER)
    assert not runs.cancelled(claim=old, now=LATER)
    assert Run.objects.filter(pk=run.pk).values().get() == before
    assert new == Claim(run.pk, 2)


def test_a_run_that_beats_is_not_stale(run: Run) -> None:
    runs.heartbeat(claim=claim(), now=LATER, progress=Progress())

    assert runs.requeue_stale(now=LATER + timedelta(seconds=19), stale_s=20) == 0
    assert runs.requeue_stale(now=LATER + timedelta(seconds=21), stale_s=20) == 1


def test_crashes_requeue_until_the_last_attempt(run: Run) -> None:
    for attempt in range(1, runs.ATTEMPTS):
        assert runs.crash(claim=claim(), now=NOW, error=f"crash {attempt}")
        run.refresh_from_db()
        assert (run.state, run.error, run.ended_at) == ("queued", f"crash {attempt}", None)
    assert runs.crash(claim=claim(), now=LATER, error="the last")
    run.refresh_from_db()
    assert (run.state, run.error, run.ended_at) == ("failed", "the last", LATER)


def test_a_released_run_keeps_its_attempts(run: Run) -> None:
    for _ in range(2 * runs.ATTEMPTS):
        assert runs.release(claim=claim(), now=NOW)
    run.refresh_from_db()
    assert run.state == "queued"
    assert run.max_attempts - run.attempt == runs.ATTEMPTS


def test_bad_input_fails_at_once(run: Run) -> None:
    runs.fail(claim=claim(), now=NOW, error="no such model")
    run.refresh_from_db()
    assert (run.state, run.error, run.attempt) == ("failed", "no such model", 1)


def test_a_queued_run_is_cancelled_at_once(run: Run) -> None:
    assert runs.request_cancel(run=run, now=NOW).state == "cancelled"
    assert runs.claim(resource="gpu", worker="w", now=NOW) is None


def test_a_running_run_is_cancelled_once_its_child_is_gone(run: Run) -> None:
    token = claim()
    assert runs.request_cancel(run=run, now=NOW).state == "running"
    assert not runs.succeed(claim=token, now=LATER, result={})
    assert runs.cancelled(claim=token, now=LATER)
    with pytest.raises(runs.NotCancellable, match="found run .* cancelled"):
        runs.request_cancel(run=run, now=LATER)


@pytest.mark.parametrize("give_up", ["crash", "stale", "release"])
def test_a_cancelled_run_never_returns_to_the_queue(run: Run, give_up: str) -> None:
    token = claim()
    runs.request_cancel(run=run, now=NOW)
    if give_up == "crash":
        runs.crash(claim=token, now=LATER, error="x")
    elif give_up == "stale":
        runs.requeue_stale(now=LATER, stale_s=20)
    else:
        runs.release(claim=token, now=LATER)
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_retry_queues_a_failed_run_with_new_attempts(run: Run) -> None:
    runs.fail(claim=claim(), now=NOW, error="x")

    again = runs.retry(run=run)

    assert (again.state, again.error, again.max_attempts) == ("queued", "", 1 + runs.ATTEMPTS)
    assert claim() == Claim(run.pk, 2)
    with pytest.raises(runs.NotRetryable, match="found run .* running"):
        runs.retry(run=run)


def test_metric_lines_are_stored_once_per_attempt(run: Run) -> None:
    token = claim()
    metrics.record(claim=token, lines=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])
    metrics.record(claim=token, lines=[{"step": 2, "loss": 9.0}, {"step": 3, "loss": 0.5}])

    assert [(row.step, row.values["loss"]) for row in run.metrics.all()] == [(1, 2.0), (2, 1.0), (3, 0.5)]


def test_lines_of_one_step_are_stored_together(run: Run) -> None:
    token = claim()
    metrics.record(
        claim=token, lines=[{"step": 1, "held_out_loss": 3.0, "phase": "evaluate"}, {"step": 1, "loss": 2.0}]
    )
    metrics.record(claim=token, lines=[{"step": 1, "alarm": "KL budget is spent", "loss": 9.0}])

    (values,) = run.metrics.values_list("values", flat=True)
    assert values == {
        "step": 1, "held_out_loss": 3.0, "phase": "evaluate", "loss": 2.0, "alarm": "KL budget is spent",
    }  # fmt: skip


def test_metrics_of_a_second_attempt_stand_beside_the_first(run: Run) -> None:
    first = claim()
    metrics.record(claim=first, lines=[{"step": 1, "loss": 2.0}])
    runs.crash(claim=first, now=NOW, error="x")
    metrics.record(claim=claim(), lines=[{"step": 1, "loss": 2.0}])

    assert sorted(run.metrics.values_list("attempt", "step")) == [(1, 1), (2, 1)]


NUM_WORKERS, NUM_RUNS = 12, 40


def test_twelve_workers_at_once_claim_each_run_exactly_once(project: Project) -> None:
    for index in range(NUM_RUNS):
        runs.ask(project=project, kind="freeze", plan_key=f"run {index}", now=NOW)
    start = threading.Barrier(NUM_WORKERS)

    def take_all(worker: int) -> list[Claim]:
        start.wait()
        taken = []
        try:
            while found := runs.claim(resource="cpu", worker=f"worker {worker}", now=NOW):
                taken.append(found)
        finally:
            connection.close()
        return taken

    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        claims = [found for taken in pool.map(take_all, range(NUM_WORKERS)) for found in taken]

    assert sorted(found.run_id for found in claims) == sorted(Run.objects.values_list("pk", flat=True))
    assert {found.attempt for found in claims} == {1}
    assert set(Run.objects.values_list("state", "attempt")) == {("running", 1)}


def test_of_many_who_end_the_same_claim_one_succeeds(run: Run) -> None:
    token, start = claim(), threading.Barrier(NUM_WORKERS)

    def end(worker: int) -> bool:
        start.wait()
        try:
            return runs.succeed(claim=token, now=NOW, result={"by": worker})
        finally:
            connection.close()

    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        assert sum(pool.map(end, range(NUM_WORKERS))) == 1


def test_many_who_ask_for_the_same_step_get_one_run(project: Project) -> None:
    start = threading.Barrier(NUM_WORKERS)

    def ask(worker: int) -> int:
        start.wait()
        try:
            return runs.ask(project=project, kind="freeze", plan_key="the step", now=NOW).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        assert len(set(pool.map(ask, range(NUM_WORKERS)))) == 1
    assert Run.objects.count() == 1
