"""Hands that end runs without torch, with rows as a run would have made them, and people who take sides."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotate import assignment, submissions
from annotate.models import Assignment, Protocol
from rlhf import completions, evaluations, judges, runs, versions
from rlhf.access import Access
from rlhf.models import Membership, ModelVersion, Project, Role, Run
from rlhf.runs import Claim
from tests.workers import world
from workers import collect, loop, rundir
from workers.execute import Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOP: dict[str, Any] = {
    "num_rounds": 1,
    "num_demonstrations": 4,
    "num_ranking_prompts": 4,
    "num_held_out_ranking_prompts": 12,
    "num_best_of_n_prompts": 4,
    "num_ppo_prompts": 8,
    "num_compare_tasks": 12,
}


def project(**settings: Any) -> Project:
    return world.project(model=Path("tiny"), **{**LOOP, **settings})


def label(*, project: Project, prefer: str = "candidate", limit: int | None = None) -> int:
    """Answer what is open; in comparisons this person prefers "candidate" or "baseline". Returns how many."""
    member = Membership.objects.filter(project=project, user__username="ada").first()
    ada = Access(member.user, project, Role.LABELER, member.pseudonym) if member else world.labeler(project=project)
    num = 0
    while limit is None or num < limit:
        held = assignment.next_task(access=ada, now=NOW)
        if held is None:
            break
        answer = submissions.Answer(submission_id=uuid.uuid4(), **_answer(held, prefer))
        submissions.submit(access=ada, assignment_id=held.pk, answer=answer, now=NOW)
        num += 1
    return num


def _answer(held: Assignment, prefer: str) -> dict[str, Any]:
    task = held.task
    if task.kind == Protocol.Kind.DEMONSTRATE:
        return {"text": f"All about {task.prompt.messages[-1]['content'].split()[-2]}"}
    shown = [task.completions.get(pk=pk) for pk in held.order_shown]
    if task.kind == Protocol.Kind.COMPARE:
        assert task.evaluation is not None
        wanted = getattr(task.evaluation, prefer)
        ranks = [1 if completion.version == wanted else 2 for completion in shown]
    else:
        order = sorted(hashlib.sha256(completion.text.encode()).digest() for completion in shown)
        ranks = [1 + order.index(hashlib.sha256(completion.text.encode()).digest()) for completion in shown]
    return {"ranks": dict(zip("abcdefghi", ranks, strict=False))}


def finish(*, claim: Claim, worker: Worker) -> Run:
    """End a claimed run well: freezing and estimating for real, the rest with outputs of its shape."""
    run = Run.objects.select_related("project", "policy", "reward_model", "evaluation").get(pk=claim.run_id)
    if run.resource == Run.Resource.CPU:
        worker.execute(claim)
    elif run.kind == Run.Kind.SAMPLE:
        _sampled(run, claim)
    elif run.kind == Run.Kind.JUDGE:
        _judged(run, claim)
    else:
        made = _version(run)
        assert runs.succeed(claim=claim, now=NOW, result={"metrics": {}}, made_version=made)
    run.refresh_from_db()
    return run


def _sampled(run: Run, claim: Claim) -> None:
    assert run.policy is not None
    num_samples = run.configuration["sampling"]["num_samples"]
    new = [
        completions.NewCompletion(prompt_id, index, f"{run.policy.name} says {prompt_id}.{index}", 5, True)
        for prompt_id in run.selection["prompt_ids"]
        for index in range(num_samples)
    ]
    completions.store(project=run.project, version=run.policy, claim=claim, rows=new)
    assert runs.succeed(claim=claim, now=NOW, result={"metrics": {}})


def _judged(run: Run, claim: Claim) -> None:
    assert run.evaluation is not None and run.reward_model is not None
    new = [
        evaluations.NewVerdict(prompt_id, ours.pk, theirs.pk, 1.0, candidate_reward=1.0, baseline_reward=0.0)
        for prompt_id, (ours, theirs) in rundir.pairs(run=run).items()
    ]
    judge = judges.reward_judge(version=run.reward_model)
    evaluations.record_verdicts(evaluation=run.evaluation, judge=judge, verdicts=new, run=run, attempt=claim.attempt)
    assert runs.succeed(claim=claim, now=NOW, result={"metrics": {}})


def _version(run: Run) -> ModelVersion:
    kind, name, number = collect.identity(run=run)
    digest = hashlib.sha256(run.plan_key.encode()).hexdigest()
    return versions.register(
        project=run.project, kind=kind, name=name, number=number, iteration=run.iteration, path=f"made/{name}",
        weights_sha256=digest,
    )  # fmt: skip


def turn_until_idle(*, project: Project, worker: Worker, now: datetime = NOW) -> list[str]:
    """Plan, end runs, plan again, until nothing is queued; the plan keys in the order in which they ended."""
    ended = []
    while True:
        project.refresh_from_db()
        if project.state == Project.State.ACTIVE:
            loop.plan(project=project, now=now)
        claims = (runs.claim(resource=resource, worker="hands", now=NOW) for resource in ("cpu", "gpu"))
        claim = next(filter(None, claims), None)
        if claim is None:
            return ended
        run = finish(claim=claim, worker=worker)
        assert run.state == Run.State.SUCCEEDED, f"{run.plan_key}: {run.error}"
        ended.append(run.plan_key)
