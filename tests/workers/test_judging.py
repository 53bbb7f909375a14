"""Which judges are asked, about what, and how often: every judge of the project, once, and a changed one anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from annotate.models import Task
from rlhf import evaluations, judges, loop_settings, requests, runs, versions
from rlhf.learning.starter import Child, Starter
from rlhf.models import Evaluation, Judge, Project, Run, Verdict
from tests.learning.conftest import replying  # noqa: F401 (a fixture)
from tests.learning.reply_server import Reply, ReplyServer
from tests.rlhf import rows
from tests.workers import hands
from tests.workers.hands import NOW
from tests.workers.processes import wait_for
from workers import judging, requested, rundir
from workers.execute import Worker
from workers.turn import Turn

pytestmark = pytest.mark.usefixtures("sqlite_database")
Replying = Callable[[Reply], ReplyServer]


@pytest.fixture
def network() -> Iterator[Worker]:
    with Starter(warm=False) as starter:
        yield Worker(resource=Run.Resource.NETWORK, name="network-test", starter=starter)


def stub(server: ReplyServer, **changes: Any) -> dict[str, Any]:
    """A judge of the settings that asks this server, one question at a time."""
    where = {"base_url": server.url, "model": "stub", "num_parallel": 1, "num_attempts": 2}
    return {"name": "stub", "kind": "llm", "server": where, **changes}


def longer(body: dict[str, Any], _: int) -> tuple[int, str]:
    """The longer answer is better, wherever it stands."""
    first, second = (part.split("[end, ")[0] for part in body["messages"][1]["content"].split("[Answer ")[1:])
    return 200, "It says more.\n[[A]]" if len(first) > len(second) else "It says more.\n[[B]]"


def project(*configured: dict[str, Any], num_prompts: int = 6) -> Project:
    """v1 and v0 have answered, and their evaluation in round 1 is open."""
    made = hands.project(judges=list(configured), num_compare_tasks=3)
    v0 = rows.version(made, "v0", 0, source="tiny")
    versions.promote_first(version=v0, now=NOW)
    rows.version(made, "rm1", kind="reward", iteration=1, source="rm1")
    v1 = rows.version(made, "v1", 1, iteration=1)
    chosen = list(made.prompts.filter(split="held_out").order_by("id")[:num_prompts])
    for version, text in ((v0, "A word."), (v1, "Many more words than that.")):
        by = rows.run(made, purpose="evaluation", policy=version, plan_key=f"sample/1/evaluation/{version.name}")
        for prompt in chosen:
            rows.answer(prompt, version, by, text)
    evaluations.open_evaluation(project=made, candidate=v1, baseline=v0, iteration=1)
    return made


def plan(made: Project) -> list[str]:
    """Plan twice; the keys of the judge runs there are."""
    made.refresh_from_db()
    settings = loop_settings.parse(made.loop)
    for _ in range(2):
        judging.plan(Turn(project=made, settings=settings, now=timezone.now(), iteration=1))
    return list(Run.objects.filter(kind="judge").order_by("id").values_list("plan_key", flat=True))


def set_judges(made: Project, *configured: dict[str, Any]) -> None:
    Project.objects.filter(pk=made.pk).update(loop={**made.loop, "judges": list(configured)})


def test_every_judge_is_asked_once_and_a_changed_one_anew(replying: Replying) -> None:  # noqa: F811
    server = replying(longer)
    made = project(stub(server))
    keys = plan(made)
    assert keys[0] == "judge/1/v1-v0" and keys[1].startswith("judge/1/v1-v0/") and len(keys) == 2
    asked = Run.objects.get(plan_key=keys[1])
    assert (asked.resource, asked.judge.kind, asked.judge.name, asked.iteration) == ("network", "llm", "stub", 1)
    assert Run.objects.get(plan_key=keys[0]).judge == judges.reward_judge(version=made.versions.get(name="rm1"))

    set_judges(made, stub(server, name="of another name"))
    assert plan(made) == keys
    set_judges(made, stub(server, question="Which is better? End with [[A]], [[B]] or [[C]]."))
    assert len(plan(made)) == 3
    set_judges(made, stub(server))
    assert len(plan(made)) == 3  # it has been asked before
    assert Judge.objects.filter(kind="llm").count() == 2


def test_every_version_is_scored_by_every_reward_model_once() -> None:
    made = project()
    v0, v1 = made.versions.get(name="v0"), made.versions.get(name="v1")
    rows.version(made, "rm2", kind="reward", iteration=2, source="rm2")
    v2 = rows.version(made, "v2", 2, iteration=2)
    for baseline in (v1, v0):
        evaluations.open_evaluation(project=made, candidate=v2, baseline=baseline, iteration=2)
    assert plan(made) == ["judge/1/v1-v0", "judge/1/v1-v0/rm2", "judge/2/v2-v1/rm1", "judge/2/v2-v1", "judge/2/v2-v0"]


def test_imported_evaluations_cost_nothing(replying: Replying) -> None:  # noqa: F811
    made = project(stub(replying(longer)))
    Evaluation.objects.update(iteration=0)
    assert plan(made) == []


def test_a_language_model_leaves_a_verdict_for_each_order_with_what_it_said(
    replying: Replying,  # noqa: F811
    network: Worker,
) -> None:
    def reply(body: dict[str, Any], before: int) -> tuple[int, str]:
        return (200, "Hm.") if "no. 3?" in str(body) or "no. 3 " in str(body) else longer(body, before)

    made = project(stub(replying(reply), max_unreadable_share=0.5))
    plan(made)
    assert network.work() == 1
    run = Run.objects.get(resource="network")
    assert run.state == "succeeded", run.error
    found = Verdict.objects.filter(judge__kind="llm")
    num_unreadable = run.result["metrics"]["num_unreadable"]
    assert found.count() == 2 * (6 - num_unreadable)
    assert set(found.values_list("position", "score", "note")) == {
        ("candidate_first", 1.0, "It says more.\n[[A]]"),
        ("baseline_first", 1.0, "It says more.\n[[B]]"),
    }
    last = run.metrics.order_by("step").last().values
    assert (last["wins"], last["unsettled"], last["win_rate"]) == (6 - num_unreadable, 0, 1.0)
    assert (last["low"], last["high"]) == (0.0, 1.0)  # too few to say more
    assert run.machine["device"] == "none"


def test_a_verdict_that_cannot_be_read_is_asked_for_once(
    replying: Replying,  # noqa: F811
    network: Worker,
) -> None:
    made = project(stub(replying(lambda *_: (200, "Hm.")), max_unreadable_share=1.0))
    Evaluation.objects.update(requested_at=NOW)
    for _ in range(2):
        requested.plan(project=made, now=NOW)
        network.work()
    run = Run.objects.get(kind="judge", resource="network")
    assert run.state == "succeeded" and run.result["metrics"]["num_unreadable"] == 6
    assert not Verdict.objects.filter(judge__kind="llm").exists()


def test_a_verifier_judges_prompts_with_a_target_without_torch(network: Worker) -> None:
    made = project({"name": "sums", "kind": "verifier", "verifier": "regex"})
    assert plan(made) == ["judge/1/v1-v0"]  # nothing to compare with yet
    first, second = made.prompts.filter(split="held_out").order_by("id")[:2]
    for prompt, target in ((first, "more"), (second, "word")):
        prompt.target = target
        prompt.save()
    assert len(plan(made)) == 2
    cpu = Worker(resource=Run.Resource.CPU, name="cpu-test", starter=network.starter)
    assert cpu.work() == 1
    run = Run.objects.get(resource="cpu")
    assert run.state == "succeeded", run.error
    found = dict(Verdict.objects.filter(judge__kind="verifier").values_list("prompt", "score"))
    assert found == {first.pk: 1.0, second.pk: 0.5}  # only v1 says "more", both say "word"
    assert set(Verdict.objects.values_list("position", "note")) == {("none", "")}


def test_a_rival_is_answered_judged_and_compared_without_a_click_and_survives_a_kill(
    replying: Replying,  # noqa: F811
    network: Worker,
    cpu: Worker,
) -> None:
    """kill -9 in the middle of the judging: the next attempt gives the same verdicts and pays for nothing twice."""
    killed: list[bool] = []
    judged: list[dict[str, Any]] = []

    def reply(body: dict[str, Any], before: int) -> tuple[int, str]:
        if "Compare two answers" not in str(body):
            return 200, "A rival's answer, which is long."
        judged.append(body)
        if len(judged) == 8 and not killed:
            killed.append(True)
            # What was answered is in the journal a moment later.
            wait_for(
                lambda: children and len(journals[0].read_bytes().splitlines()) == 7, "seven answers in the journal"
            )
            children[0].kill()
        return longer(body, before)

    server, children, journals = replying(reply), list[Child](), list[Path]()
    made = project(stub(server))
    Evaluation.objects.all().delete()
    where = {"base_url": server.url, "model": "rival"}
    requests.register_rival(project=made, body={"name": "rival", "endpoint": where}, now=NOW)
    _work_until_judged(made, network, cpu)
    run = Run.objects.get(kind="judge", resource="network")
    claim = runs.claim(resource="network", worker="to be killed", now=timezone.now())
    assert claim is not None
    folder = rundir.prepare(run=run, claim=claim)
    journals.append(folder / "journal.jsonl")
    children.append(network.starter.run(kind="judge", folder=folder))
    assert children[0].wait(60) == -9
    assert Task.objects.filter(kind="compare", state="open").count() == 3

    assert runs.requeue_stale(now=timezone.now() + timedelta(minutes=5), stale_s=20) == 1
    assert network.work() == 1

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("succeeded", 2), run.error
    num_pairs = run.result["metrics"]["num_pairs"]
    found = list(Verdict.objects.filter(judge=run.judge).values_list("prompt", "position", "score"))
    assert len(found) == 2 * num_pairs == len(set(found)) and {score for *_, score in found} == {1.0}
    assert Verdict.objects.filter(judge__kind="reward_model").count() == num_pairs
    assert len(judged) <= 2 * num_pairs + 1  # the one under way when the child was killed
    assert sum(judged.count(body) > 1 for body in judged[:7]) == 0


def _work_until_judged(made: Project, network: Worker, cpu: Worker) -> None:
    """End all runs but the judge's over the network, planning after each as the dispatcher does."""
    for _ in range(20):
        requested.plan(project=made, now=NOW)
        if Run.objects.filter(kind="judge", resource="network").exists() and not Run.objects.filter(
            state="queued", resource="gpu"
        ):
            return
        if (claim := runs.claim(resource="gpu", worker="hands", now=NOW)) is not None:
            hands.finish(claim=claim, worker=cpu)
        elif Run.objects.filter(kind="sample", resource="network", state="queued").exists():
            assert network.work() == 1
            assert not Run.objects.filter(state="failed").exists(), Run.objects.get(state="failed").error
    raise AssertionError(list(Run.objects.values_list("plan_key", "state", "error")))
