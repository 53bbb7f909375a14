"""Two answers side by side: what differs, what reward models make of them, and what every judge said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from rlhf import pairs, training_rewards
from rlhf.access import READERS, access
from rlhf.models import Judge, ModelVersion, Prompt, Verdict
from rlhf.views_evaluations import listing
from rlhf.word_diff import MAX_WORDS, word_diff

MAX_VERDICTS = 200  # shown; the people and orders of one pair are few


@dataclass(frozen=True)
class Reward:
    """What a reward model gives both answers."""

    judge: Judge
    candidate: float | None
    baseline: float | None
    is_training_reward: bool

    @property
    def difference(self) -> float | None:
        return None if self.candidate is None or self.baseline is None else self.candidate - self.baseline


def pair(request: HttpRequest, project: str, pk: int, prompt: int) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    found = listing(request, here, pk)
    row = found.evaluation
    question = get_object_or_404(Prompt, project=here.project, pk=prompt)
    verdicts = list(
        found.verdicts.filter(evaluation=row, prompt=question)
        .select_related("judge__version", "run", "candidate_completion__run", "baseline_completion__run")
        .order_by("judge_id", "rater", "replicate", "position", "id")[:MAX_VERDICTS]
    )
    if not verdicts:
        raise Http404("expected a pair with a verdict")
    candidate, baseline = verdicts[0].candidate_completion, verdicts[0].baseline_completion
    shows_diff = request.GET.get("diff") == "1"
    previous_prompt, next_prompt = pairs.neighbours(units=found.units, prompt_id=question.pk)
    context = {
        "here": here,
        "project": here.project,
        "evaluation": row,
        "listing": found,
        "prompt": question,
        "verdicts": sorted(verdicts, key=lambda verdict: verdict.judge.kind != Judge.Kind.PEOPLE),
        "candidate": candidate,
        "baseline": baseline,
        "rewards": _rewards(verdicts, row.candidate),
        "shows_diff": shows_diff,
        "diff": word_diff(first=candidate.text, second=baseline.text) if shows_diff else None,
        "max_words": MAX_WORDS,
        "previous_prompt": previous_prompt,
        "next_prompt": next_prompt,
    }
    return render(request, "rlhf/pair.html", context)


def _rewards(verdicts: Sequence[Verdict], candidate: ModelVersion) -> list[Reward]:
    """One row a reward model, in the order of their ids."""
    by_reward_model = training_rewards.by_reward_model(project=candidate.project)
    trained_on = {reward_model for reward_model, versions in by_reward_model.items() if candidate.pk in versions}
    rows = {
        verdict.judge_id: Reward(
            verdict.judge,
            verdict.candidate_reward,
            verdict.baseline_reward,
            verdict.judge.version_id in trained_on,
        )
        for verdict in verdicts
        if verdict.candidate_reward is not None or verdict.baseline_reward is not None
    }
    return [rows[judge] for judge in sorted(rows)]
