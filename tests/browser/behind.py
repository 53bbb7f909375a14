"""What stands behind the numbers, for the browser tests: a language model that judges in both orders and says why,
rewards, best-of-N, the KL frontier, answers at checkpoints; and the overview that a worker makes of all verdicts."""

from __future__ import annotations

import math
import random

from django.utils import timezone

from rlhf import evaluations, judges
from rlhf.models import Evaluation, Judge, Project, Prompt, Run, RunMetric, RunSample, Split, Verdict
from tests.browser import record
from workers import overview
from workers.execute import open_worker

SAID = (
    "Answer 1 thanks her plainly and names what she did. Verdict: [[A]]",
    "Both are kind. <script>alert('judge')</script> The second is shorter, {{ prompt }} and [[B]] wins.",
    "I read both twice. " * 30 + "In the end the first is warmer. [[A]]",
)
CATEGORIES = ("letters", "stories", "")


def build(project: Project) -> None:
    """Adds to what record.build has made."""
    draw = random.Random(1)
    for place, prompt in enumerate(project.prompts.order_by("id")):
        Prompt.objects.filter(pk=prompt.pk).update(category=CATEGORIES[place % 3])
    held_out = list(project.prompts.filter(split=Split.HELD_OUT).order_by("id"))
    llm = Judge.objects.create(project=project, kind=Judge.Kind.LLM, name="a judge that reads", identity="a" * 64)
    for evaluation in project.evaluations.all():
        _both_orders(evaluation, llm, held_out, draw)
        _rewards(evaluation, draw)
    _runs(project, held_out, draw)
    overview.ask(project=project, now=timezone.now())
    for _ in range(2):  # freeze, then estimate
        open_worker(resource=Run.Resource.CPU).work()
        overview.plan(project=project, now=timezone.now(), patient=False)
    assert not project.runs.filter(purpose=overview.PURPOSE).exclude(state=Run.State.SUCCEEDED).exists()


def _both_orders(evaluation: Evaluation, judge: Judge, prompts: list[Prompt], draw: random.Random) -> None:
    run = record._run(evaluation.project, Run.Kind.JUDGE, f"llm/{evaluation.pk}", evaluation=evaluation, judge=judge)
    new, old = (evaluations.answers(version=one) for one in (evaluation.candidate, evaluation.baseline))
    rows = []
    for prompt in prompts:
        leaning = draw.random()
        for position in (Verdict.Position.CANDIDATE_FIRST, Verdict.Position.BASELINE_FIRST):
            likely = leaning + (0.15 if position == Verdict.Position.CANDIDATE_FIRST else -0.15)
            rows.append(
                Verdict(
                    evaluation=evaluation, project=evaluation.project, prompt=prompt, judge=judge, run=run, attempt=1,
                    candidate_completion=new[prompt.pk], baseline_completion=old[prompt.pk], position=position,
                    score=min(1.0, max(0.0, round(likely + 0.1, 3))), note=draw.choice(SAID),
                )
            )  # fmt: skip
    Verdict.objects.bulk_create(rows)


def _rewards(evaluation: Evaluation, draw: random.Random) -> None:
    """Of the reward model's verdicts; an answer has one reward, whomever it is compared with."""
    height = {0: 0.0, 1: 0.8, 2: 1.9}
    for verdict in Verdict.objects.filter(evaluation=evaluation, judge__kind=Judge.Kind.REWARD_MODEL):
        for side in ("candidate", "baseline"):
            version = getattr(evaluation, side)
            noise = random.Random(f"{version.pk}-{verdict.prompt_id}").gauss(0, 0.6 + 0.2 * (version.number or 0))
            setattr(verdict, f"{side}_reward", height[version.number or 0] + noise)
        verdict.save()


def _runs(project: Project, prompts: list[Prompt], draw: random.Random) -> None:
    rm2 = project.versions.get(name="rm2")
    ppo = project.runs.get(plan_key="ppo/2")
    ppo.reward_model, ppo.sft = rm2, project.versions.get(name="v0")
    ppo.machine = {"processor": "AMD EPYC 9654 96-Core Processor", "device": "cpu", "num_threads": "4",
                   "num_processes": "1", "python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"}  # fmt: skip
    ppo.worker, ppo.log = "gpu-4711@render-3", "step 59 of 60\nstep 60 of 60\n"
    ppo.configuration = {"kl_coefficient": 0.1, "num_iterations": 60, "engine": {"checkpoint_every": 20, "seed": 3}}
    ppo.save()
    judges.reward_judge(version=rm2)
    for step in (20, 40, 60):
        for place, prompt in enumerate(prompts[:2]):
            text = f"Thank you{', truly' * (step // 20)}.\n\nYour neighbour, at step {step}."
            RunSample.objects.create(
                run=ppo, attempt=1, step=step, prompt=prompt, text=text, score=round(step / 40 + place, 3)
            )
    record._run(
        project, Run.Kind.BEST_OF_N, "bon/2", iteration=2, policy=project.versions.get(name="v1"), reward_model=rm2,
        result={"metrics": {"curve": {str(n): 0.4 + 0.55 * math.log2(n) ** 0.8 for n in range(1, 17)},
                            "median_curve": {str(n): 0.4 + 0.01 * n / 16 for n in range(1, 17)}}},
    )  # fmt: skip
    for number, top in ((1, 1.2), (2, 2.0)):
        run = ppo if number == 2 else record._run(project, Run.Kind.PPO, "ppo/1", iteration=1, reward_model=rm2)
        RunMetric.objects.filter(run=run).delete()
        RunMetric.objects.bulk_create(
            RunMetric(
                run=run, attempt=1, step=step,
                values={"step": step, "score": top - top * math.exp(-step / 18) + draw.gauss(0, 0.02),
                        "kl_sft": step / (10 * number), "kl": step / 14, "entropy": 2 - step / 60,
                        "length": 40 + step / 3},
            )
            for step in range(1, 61)
        )  # fmt: skip
