"""A project two rounds old for the browser tests: versions, answers, verdicts, estimates, a run with curves, snapshots.

Texts and scores are drawn from a seed; every estimate is computed from the verdicts by the product's own statistics.
"""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path

from django.utils import timezone

from rlhf import evaluations, judges, snapshots
from rlhf.learning import tables
from rlhf.learning.alarms import Alarm
from rlhf.learning.stats.win_rates import win_rate
from rlhf.models import (
    Completion,
    DatasetSnapshot,
    Estimate,
    Evaluation,
    Judge,
    ModelVersion,
    Project,
    Promotion,
    Prompt,
    Run,
    RunAlarm,
    RunMetric,
    Split,
    Verdict,
)
from rlhf.prompts import add, new_prompt
from tests.browser import cards
from tests.rlhf import documents

NUM_PROMPTS = 120
ASKED = ("a short thank-you note to", "an apology to", "a birthday wish for", "a two-line story about")
WHOM = ("my neighbour", "a colleague", "my grandmother", "the bus driver", "our teacher", "an old friend")
ANSWERS = {
    0: "Thanks. Thanks. It was good, it was good, thanks.",
    1: "Thank you, that was kind of you.\n\nI noticed, and it helped.",
    2: "Thank you for your kindness last week.\n\n- It made a hard day easier.\n- I won't forget it.\n\nWarmly, Jo",
}
BETTER = {Judge.Kind.PEOPLE: 0.7, Judge.Kind.REWARD_MODEL: 0.82}  # share of pairs that go to the newer version


def build(project: Project) -> None:
    draw = random.Random(0)
    texts = [f"Write {ASKED[i % 4]} {WHOM[i % 6]}, number {i}." for i in range(NUM_PROMPTS)]
    add(project=project, prompts=[new_prompt(value=text) for text in texts], source="test")
    held_out = list(project.prompts.filter(split=Split.HELD_OUT))
    versions = _versions(project)
    for version in versions:
        _answer(version, held_out)
    for candidate, baseline in ((1, 0), (2, 0), (2, 1)):
        evaluation = evaluations.open_evaluation(
            project=project, candidate=versions[candidate], baseline=versions[baseline], iteration=candidate
        )
        _judge(evaluation, held_out, draw)
    _estimate(project)
    _overview(project, versions)
    _promote(project, versions)
    cards.build(project.versions.get(name="rm2"))
    _train(project, versions)


def _versions(project: Project) -> list[ModelVersion]:
    made: list[ModelVersion] = []
    for number, kind in enumerate((ModelVersion.Kind.SFT, ModelVersion.Kind.PPO, ModelVersion.Kind.PPO)):
        made.append(
            ModelVersion.objects.create(
                project=project, kind=kind, name=f"v{number}", number=number, iteration=number,
                parent=made[-1] if made else None, is_current=number == 2, weights_sha256=f"{number + 1:064x}",
            )
        )  # fmt: skip
    ModelVersion.objects.create(
        project=project, kind=ModelVersion.Kind.REWARD, name="rm2", iteration=2, weights_sha256=f"{9:064x}"
    )
    return made


def _run(project: Project, kind: str, key: str, **fields: object) -> Run:
    resource = Run.Resource.CPU if kind in (Run.Kind.FREEZE, Run.Kind.ESTIMATE) else Run.Resource.GPU
    now = timezone.now()
    defaults = {"state": Run.State.SUCCEEDED, "attempt": 1, "started_at": now, "ended_at": now}
    return Run.objects.create(project=project, kind=kind, plan_key=key, resource=resource, **{**defaults, **fields})


def _answer(version: ModelVersion, prompts: list[Prompt]) -> None:
    run = _run(version.project, Run.Kind.SAMPLE, f"sample/{version.name}", purpose="evaluation", policy=version)
    Completion.objects.bulk_create(
        Completion(
            project=version.project, prompt=prompt, version=version, run=run, attempt=1, sample_index=0, num_tokens=24,
            text=ANSWERS[version.number or 0], finished=True,
        )
        for prompt in prompts
    )  # fmt: skip


def _judge(evaluation: Evaluation, prompts: list[Prompt], draw: random.Random) -> None:
    reward_model = evaluation.project.versions.get(name="rm2")
    run = _run(evaluation.project, Run.Kind.JUDGE, f"judge/{evaluation.pk}", evaluation=evaluation)
    people = judges.people_judge(project=evaluation.project)
    _verdicts(evaluation, people, prompts, draw)
    _verdicts(evaluation, judges.reward_judge(version=reward_model), prompts, draw, run)


def _verdicts(
    evaluation: Evaluation, judge: Judge, prompts: list[Prompt], draw: random.Random, run: Run | None = None
) -> None:
    new = evaluations.answers(version=evaluation.candidate)
    old = evaluations.answers(version=evaluation.baseline)
    made = [
        evaluations.NewVerdict(
            prompt_id=prompt.pk, candidate_completion_id=new[prompt.pk].pk, baseline_completion_id=old[prompt.pk].pk,
            score=0.5 if draw.random() < 0.05 else float(draw.random() < BETTER[Judge.Kind(judge.kind)]),
            rater="" if run else f"labeler {draw.randint(1, 3)}",
            position=Verdict.Position.NONE if run else Verdict.Position.CANDIDATE_FIRST,
        )
        for prompt in prompts
    ]  # fmt: skip
    evaluations.record_verdicts(
        evaluation=evaluation, judge=judge, verdicts=made, run=run, attempt=run.attempt if run else 0
    )


def _estimate(project: Project) -> None:
    snapshot = _freeze(project)
    for evaluation in project.evaluations.all():
        run = _run(project, Run.Kind.ESTIMATE, f"estimate/{evaluation.pk}", evaluation=evaluation, snapshot=snapshot)
        for judge in Judge.objects.filter(project=project):
            rows = evaluation.verdicts.filter(judge=judge).values_list("prompt_id", "score")
            rate = win_rate([prompt_id for prompt_id, _ in rows], [score for _, score in rows])
            Estimate.objects.create(
                evaluation=evaluation, project=project, judge=judge, split=Split.HELD_OUT, snapshot=snapshot, run=run,
                attempt=1, **vars(rate),
            )  # fmt: skip


def _freeze(project: Project) -> DatasetSnapshot:
    rows = list(evaluations.verdict_rows(project=project))
    with tempfile.TemporaryDirectory() as folder:
        parquet, jsonl = Path(folder) / "verdicts.parquet", Path(folder) / "verdicts.jsonl"
        tables.write_table(parquet, tables.VERDICTS, rows)
        tables.write_jsonl(jsonl, tables.VERDICTS, rows)
        return snapshots.store(
            project=project, configuration="verdicts", iteration=2, parameters={}, parquet=parquet, jsonl=jsonl,
            num_rows=len(rows),
        )  # fmt: skip


def _overview(project: Project, versions: list[ModelVersion]) -> None:
    numbers = {(row.candidate_id, row.baseline_id): row.pk for row in project.evaluations.all()}
    people, reward = (project.judges.get(kind=kind).pk for kind in ("people", "reward_model"))
    judge = Judge.objects.create(project=project, kind=Judge.Kind.LLM, name="gpt-4", identity="2" * 64)
    documents.store(project, documents.full(3, versions[0].pk, numbers, (people, judge.pk, reward)))


def _promote(project: Project, versions: list[ModelVersion]) -> None:
    for baseline, candidate in zip(versions, versions[1:], strict=False):
        estimate = Estimate.objects.get(
            evaluation__candidate=candidate, evaluation__baseline=baseline, judge__kind=Judge.Kind.PEOPLE
        )
        Promotion.objects.create(
            project=project, candidate=candidate, baseline=baseline, estimate=estimate, promoted=estimate.low > 0.5,
            reason=f"people prefer {candidate} on {estimate.win_rate:.0%} of the prompts", decided_at=timezone.now(),
        )  # fmt: skip


def _train(project: Project, versions: list[ModelVersion]) -> None:
    """A finished PPO run with curves, a GRPO run that goes on in spite of an alarm, one that failed."""
    run = _run(
        project, Run.Kind.PPO, "ppo/2", iteration=2, policy=versions[1], made_version=versions[2], step=60,
        total_steps=60, result={"metrics": {"score": 1.9, "kl": 4.2}},
    )  # fmt: skip
    RunMetric.objects.bulk_create(
        RunMetric(
            run=run, attempt=1, step=step,
            values={"step": step, "score": 2 - 2 * math.exp(-step / 20), "kl": step / 14, "loss": 1 / (1 + step / 9),
                    "kl_coefficient": 0.1},
        )
        for step in range(1, 61)
    )  # fmt: skip
    alarm = Alarm("length drifts", 1.72, 1.6, "Answers are getting much longer.", "Look at the length shortcut.")
    RunAlarm.objects.create(run=run, attempt=1, step=41, name=alarm.name, message=str(alarm))
    running = _run(
        project, Run.Kind.GRPO, "grpo/3", iteration=3, state=Run.State.RUNNING, step=12, total_steps=80,
        phase="train", heartbeat_at=timezone.now(), ended_at=None, worker="gpu-1",
    )  # fmt: skip
    RunAlarm.objects.create(run=running, attempt=1, step=9, name=alarm.name, message=str(alarm))
    _run(
        project, Run.Kind.SFT, "sft/3", iteration=3, state=Run.State.FAILED, started_at=timezone.now(),
        error="model: expected a folder with config.json, found none at /models/small",
    )  # fmt: skip
