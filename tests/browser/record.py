"""A project two rounds old for the browser tests: versions, answers, verdicts, an overview, a run with curves.

Texts and scores are drawn from a seed; every number comes from the verdicts by the product's own runs.
"""

from __future__ import annotations

import math
import random

from django.utils import timezone

from rlhf import evaluations, judges
from rlhf.learning.alarms import Alarm
from rlhf.learning.configs import JudgeConfig, ServerConfig
from rlhf.models import (
    Completion,
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
from workers import overview
from workers.execute import open_worker

NUM_PROMPTS = 200
ASKED = ("a short thank-you note to", "an apology to", "a birthday wish for", "a two-line story about")
WHOM = ("my neighbour", "a colleague", "my grandmother", "the bus driver", "our teacher", "an old friend")
ANSWERS = {
    0: "Thanks. Thanks. It was good, it was good, thanks.",
    1: "Thank you, that was kind of you.\n\nI noticed, and it helped.",
    2: "Thank you for your kindness last week.\n\n- It made a hard day easier.\n- I won't forget it.\n\nWarmly, Jo",
}
MORE = "\n\nI still smile when I think of it."  # what makes some answers longer
Row = tuple[Prompt, float, str, str]  # score of the candidate, rater, which answer came first
FIRST = (Verdict.Position.CANDIDATE_FIRST, Verdict.Position.BASELINE_FIRST)
CATEGORIES = ("letters", "letters", "wishes", "")
JUDGE = JudgeConfig(backend="openai", server=ServerConfig(base_url="http://127.0.0.1:9", model="tiny"))
BETTER = {"people": 0.85, "llm": 0.8}  # how often they name the better answer, which is mostly the newer one


def build(project: Project) -> None:
    draw = random.Random(0)
    texts = [f"Write {ASKED[i % 4]} {WHOM[i % 6]}, number {i}." for i in range(NUM_PROMPTS)]
    asked = [new_prompt(value=text, category=CATEGORIES[i % 4]) for i, text in enumerate(texts)]
    add(project=project, prompts=asked, source="test")
    held_out = list(project.prompts.filter(split=Split.HELD_OUT))
    versions = _versions(project)
    for version in versions:
        _answer(version, held_out, draw)
    for candidate, baseline in ((1, 0), (2, 0), (2, 1)):
        evaluation = evaluations.open_evaluation(
            project=project, candidate=versions[candidate], baseline=versions[baseline], iteration=candidate
        )
        _judge(evaluation, held_out, draw)
    _train(project, versions)
    _overview(project)
    _judge_on(project)
    _promote(project, versions)
    cards.build(project.versions.get(name="rm2"))


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


def _answer(version: ModelVersion, prompts: list[Prompt], draw: random.Random) -> None:
    run = _run(version.project, Run.Kind.SAMPLE, f"sample/{version.name}", purpose="evaluation", policy=version)
    Completion.objects.bulk_create(
        Completion(
            project=version.project, prompt=prompt, version=version, run=run, attempt=1, sample_index=0, num_tokens=24,
            text=ANSWERS[version.number or 0] + MORE * draw.randint(0, 3), finished=True,
        )
        for prompt in prompts
    )  # fmt: skip


def _judge(evaluation: Evaluation, prompts: list[Prompt], draw: random.Random) -> None:
    """People, some prompts by three of them; a language model in both orders; the reward model, in probabilities."""
    project = evaluation.project
    machine = judges.configured_judge(project=project, name="tiny-judge", config=JUDGE)
    reward = judges.reward_judge(version=project.versions.get(name="rm2"))
    people: list[Row] = []
    both_orders: list[Row] = []
    alone: list[Row] = []
    for prompt in prompts:
        truth = draw.random() < 0.66
        for rater in range(1, 4 if draw.random() < 0.3 else 2):
            people.append((prompt, _score(draw, truth, BETTER["people"]), f"labeler {rater}", FIRST[0]))
        for position, lean in zip(FIRST, (0.12, -0.12), strict=True):
            both_orders.append((prompt, _score(draw, truth, BETTER["llm"] + lean), "", position))
        probability = 0.25 + 0.5 * truth + draw.uniform(-0.2, 0.24)
        alone.append((prompt, probability, "", Verdict.Position.NONE))
    _record(evaluation, judges.people_judge(project=project), people)
    for judge, rows in ((machine, both_orders), (reward, alone)):
        run = _run(project, Run.Kind.JUDGE, f"judge/{evaluation.pk}/{judge.pk}", evaluation=evaluation, judge=judge)
        _record(evaluation, judge, rows, run)


def _score(draw: random.Random, truth: bool, accuracy: float) -> float:
    return 0.5 if draw.random() < 0.06 else float(truth if draw.random() < accuracy else not truth)


def _record(evaluation: Evaluation, judge: Judge, rows: list[Row], run: Run | None = None) -> None:
    new = evaluations.answers(version=evaluation.candidate)
    old = evaluations.answers(version=evaluation.baseline)
    made = [
        evaluations.NewVerdict(
            prompt_id=prompt.pk, candidate_completion_id=new[prompt.pk].pk, baseline_completion_id=old[prompt.pk].pk,
            score=score, rater=rater, position=position,
        )
        for prompt, score, rater, position in rows
    ]  # fmt: skip
    evaluations.record_verdicts(
        evaluation=evaluation, judge=judge, verdicts=made, run=run, attempt=run.attempt if run else 0
    )


def _overview(project: Project) -> None:
    """Freeze and estimate as the product does, in a worker of this process."""
    worker = open_worker(resource=Run.Resource.CPU)
    try:
        overview.plan(project=project, now=timezone.now())
        while worker.work():
            overview.plan(project=project, now=timezone.now())
    finally:
        worker.starter.close()


def _judge_on(project: Project) -> None:
    """The language model at work on another comparison."""
    run = _run(
        project, Run.Kind.JUDGE, "judge/now", state=Run.State.RUNNING, step=40, total_steps=190, ended_at=None,
        heartbeat_at=timezone.now(), evaluation=project.evaluations.latest("id"), judge=project.judges.get(kind="llm"),
    )  # fmt: skip
    logged = {"win_rate": 0.55, "low": 0.31, "high": 0.79, "wins": 10, "ties": 1, "losses": 8, "unsettled": 1}
    RunMetric.objects.create(run=run, attempt=1, step=40, values={"step": 40, **logged})


def _promote(project: Project, versions: list[ModelVersion]) -> None:
    for baseline, candidate in zip(versions, versions[1:], strict=False):
        estimate = Estimate.objects.get(
            evaluation__candidate=candidate,
            evaluation__baseline=baseline,
            judge__kind=Judge.Kind.PEOPLE,
            split=Split.HELD_OUT,
        )
        Promotion.objects.create(
            project=project, candidate=candidate, baseline=baseline, estimate=estimate, promoted=estimate.low > 0.5,
            reason=f"people prefer {candidate} on {estimate.win_rate:.0%} of the prompts", decided_at=timezone.now(),
        )  # fmt: skip


def _train(project: Project, versions: list[ModelVersion]) -> None:
    """A finished PPO run with curves, a GRPO run that goes on in spite of an alarm, one that failed."""
    run = _run(
        project, Run.Kind.PPO, "ppo/2", iteration=2, policy=versions[1], made_version=versions[2],
        reward_model=project.versions.get(name="rm2"), step=60,
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
