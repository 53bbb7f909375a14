"""What the demo knows and no real project does: the hidden gold score, and so how right every judge is.

Gold verdicts are stored like any other judge's, so every number of the closing table comes from the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotate.management.demo import gold, labelers, recipe
from annotate.models import Ranking
from rlhf import evaluations, judges, runs
from rlhf.completions import visible
from rlhf.learning.records import comparisons
from rlhf.learning.report import ScoredRanking, accuracy, noise_ceiling
from rlhf.learning.stats.intervals import Estimate
from rlhf.models import Completion, Evaluation, Judge, Project, Prompt, Run, Split
from workers import overview
from workers.demo.world import World

GOLD = "gold score of the demo"
PURPOSE = "audit"


@dataclass(frozen=True)
class RewardModelReport:
    """One reward model: agreement with gold, accuracy on held-out labels (its run's metrics), and their ceiling."""

    version: str
    gold: Estimate
    labels: dict[str, float]
    ceiling: Estimate


def advance(*, world: World, now: datetime) -> None:
    """Ask for every audit that has become possible, judge every evaluation by gold, and when all judges are through ask
    for the last overview, which the dispatcher would leave a pause before; asking twice does nothing."""
    _ask_samples(world=world, now=now)
    _ask_scores(world=world, now=now)
    for evaluation in world.project.evaluations.select_related("candidate", "baseline"):
        _judge_by_gold(world=world, evaluation=evaluation)
    if judged(world=world):
        overview.plan(project=world.project, now=now, patient=False)


def judged(*, world: World) -> bool:
    """Every round has been decided and has its audit, and all judges of every evaluation have given their verdicts."""
    project = world.project
    if project.promotions.filter(baseline__isnull=False).count() < world.rounds:
        return False
    runs_of_judges = project.runs.filter(kind=Run.Kind.JUDGE)
    audits = runs_of_judges.filter(purpose=PURPOSE, state=Run.State.SUCCEEDED)
    by_gold = evaluations.visible_verdicts().filter(project=project, judge__kind=Judge.Kind.GOLD)
    of_loop = project.evaluations.filter(requested_at=None, iteration__gt=0)
    waiting = of_loop.exclude(pk__in=by_gold.values("evaluation"))
    at_work = runs_of_judges.filter(state__in=overview.UNDER_WAY)
    return audits.count() >= world.rounds and not waiting.exists() and not at_work.exists()


def done(*, world: World) -> bool:
    """And the newest overview shows them all."""
    return judged(world=world) and overview.is_current(project=world.project)


def reports(*, project: Project) -> list[RewardModelReport]:
    """A report per reward model that was audited, oldest first."""
    audits = project.runs.filter(kind=Run.Kind.JUDGE, purpose=PURPOSE, state=Run.State.SUCCEEDED).order_by("iteration")
    return [_report(audit) for audit in audits.select_related("reward_model")]


def _ask_samples(*, world: World, now: datetime) -> None:
    """Two answers a prompt by the version that the round starts from: what its reward model will have to order."""
    prompts = world.project.prompts.filter(split=Split.HELD_OUT, source="grammar").order_by("-id")
    prompt_ids = list(prompts.values_list("pk", flat=True)[: world.sizes.num_audit_prompts])
    sampled = Run.objects.filter(project=world.project, kind=Run.Kind.SAMPLE, purpose="ranking")
    for run in sampled.select_related("policy"):
        configuration = recipe.loop(seed=world.seed)["sample"]
        configuration["sampling"] = configuration["sampling"] | {"num_samples": 2}
        configuration["engine"] = configuration["engine"] | {"seed": 1_000_000 + world.seed * 100 + run.iteration}
        runs.ask(
            project=world.project,
            kind=Run.Kind.SAMPLE,
            plan_key=f"audit/sample/{run.iteration}",
            purpose=PURPOSE,
            iteration=run.iteration,
            policy=run.policy,
            configuration=configuration,
            selection={"prompt_ids": prompt_ids},
            now=now,
        )


def _ask_scores(*, world: World, now: datetime) -> None:
    for run in world.project.runs.filter(kind=Run.Kind.REWARD, state=Run.State.SUCCEEDED):
        sample = world.project.runs.filter(plan_key=f"audit/sample/{run.iteration}", state=Run.State.SUCCEEDED).first()
        if sample is None:
            continue
        runs.ask(
            project=world.project,
            kind=Run.Kind.JUDGE,
            plan_key=f"audit/judge/{run.iteration}",
            purpose=PURPOSE,
            iteration=run.iteration,
            reward_model=run.made_version,
            configuration=recipe.judge(seed=world.seed),
            selection={"pairs": _pairs(sample)},
            now=now,
        )


def _pairs(sample: Run) -> list[list[int]]:
    rows = visible().filter(run=sample).order_by("prompt_id", "sample_index").values_list("prompt_id", "pk")
    by_prompt: dict[int, list[int]] = {}
    for prompt_id, completion_id in rows:
        by_prompt.setdefault(prompt_id, []).append(completion_id)
    return list(by_prompt.values())


def _judge_by_gold(*, world: World, evaluation: Evaluation) -> None:
    """Gold verdicts as soon as the reward model has given its own: then both versions have answered everything."""
    found = evaluations.visible_verdicts().filter(evaluation=evaluation)
    if not found.filter(judge__kind=Judge.Kind.REWARD_MODEL).exists():
        return
    judge = judges.gold_judge(project=world.project, name=GOLD)
    if not found.filter(judge=judge).exists():
        evaluations.record_verdicts(evaluation=evaluation, judge=judge, verdicts=_gold_verdicts(evaluation))


def _gold_verdicts(evaluation: Evaluation) -> list[evaluations.NewVerdict]:
    candidate = evaluations.answers(version=evaluation.candidate)
    baseline = evaluations.answers(version=evaluation.baseline)
    prompts = Prompt.objects.in_bulk(list(candidate.keys() & baseline.keys()))
    verdicts = []
    for prompt_id in sorted(prompts):
        text = prompts[prompt_id].messages[-1]["content"]
        ours, theirs = (gold.score(text, answers[prompt_id].text) for answers in (candidate, baseline))
        verdicts.append(
            evaluations.NewVerdict(
                prompt_id=prompt_id,
                candidate_completion_id=candidate[prompt_id].pk,
                baseline_completion_id=baseline[prompt_id].pk,
                score=0.5 if ours == theirs else float(ours > theirs),
                candidate_reward=ours,
                baseline_reward=theirs,
            )
        )
    return verdicts


def _report(audit: Run) -> RewardModelReport:
    assert audit.reward_model is not None
    chances, prompt_ids = _chances(_label_rankings(audit.project, audit.iteration))
    return RewardModelReport(
        version=audit.reward_model.name,
        gold=_gold_agreement(audit),
        labels=audit.reward_model.made_by.get().result["metrics"],
        ceiling=noise_ceiling(chances, prompt_ids),
    )


def _gold_agreement(audit: Run) -> Estimate:
    rankings = []
    completions = visible().filter(project=audit.project, run__purpose=PURPOSE).select_related("prompt")
    by_id = completions.in_bulk()
    pairs = audit.selection["pairs"]
    for pair_id, score_a, score_b in audit.result["rows"]:
        completion_a, completion_b = pairs[pair_id]
        gold_a, gold_b = _gold(by_id[completion_a]), _gold(by_id[completion_b])
        if gold_a != gold_b:
            ranks = (1, 2) if gold_a > gold_b else (2, 1)
            rankings.append(ScoredRanking(by_id[completion_a].prompt_id, ranks, (score_a, score_b)))
    estimate = accuracy(rankings)
    if estimate is None:
        raise ValueError(f"audit of {audit}: expected pairs that differ by gold, found none")
    return estimate


def _gold(completion: Completion) -> float:
    return gold.score(completion.prompt.messages[-1]["content"], completion.text)


def _label_rankings(project: Project, iteration: int) -> list[Ranking]:
    """The held-out rankings that the reward model of this round was scored on: those of this round and before."""
    rankings = Ranking.objects.filter(
        project=project, counts=True, task__iteration__lte=iteration, task__kind="rank", prompt__split=Split.HELD_OUT
    )
    return list(rankings.select_related("prompt"))


def _chances(rankings: list[Ranking]) -> tuple[list[float], list[int]]:
    """Probability of the preferred side, for every comparison of the rankings, and its prompt."""
    wanted = {completion_id for ranking in rankings for completion_id in ranking.completion_ids}
    texts = dict(visible().filter(pk__in=wanted).values_list("pk", "text"))
    chances, prompt_ids = [], []
    for ranking in rankings:
        pairs = comparisons(ranking.ranks)
        prompt = ranking.prompt.messages[-1]["content"]
        for winner, loser in zip(pairs.winners, pairs.losers, strict=True):
            ids = ranking.completion_ids
            chances.append(labelers.preference(prompt, texts[ids[winner]], texts[ids[loser]]))
            prompt_ids.append(ranking.prompt_id)
    return chances, prompt_ids
