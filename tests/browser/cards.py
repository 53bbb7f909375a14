"""A report card for the browser tests: drawn rankings of drawn answers, read by the product's own statistics.

The model likes long answers more than its labelers do, so its length is flagged.
"""

from __future__ import annotations

import math
import random
from functools import cache
from typing import Any

from rlhf.learning import report
from rlhf.learning.report import Label, ScoredRanking
from rlhf.learning.stats.scaling import slope
from rlhf.models import ModelVersion, ReportCard

NUM_PROMPTS = 150
LABELERS = ("labeler-3f9a11c2", "labeler-77e0b4d1", "labeler-a2c45e90", "labeler-d81f0b36")
TEXT = "thank you so much for the kind and patient help with my garden last week it was a joy to come home to"
SIZES = (60, 120, 240)


def build(version: ModelVersion) -> None:
    card = drawn()
    ReportCard.objects.create(version=version, project=version.project, content=card, sha256="c" * 64)
    version.metrics = report.headline(card)
    version.save()


@cache
def drawn() -> dict[str, Any]:
    draw = random.Random(7)
    rankings = [_ranking(draw, number) for number in range(2 * NUM_PROMPTS)]
    labels = [Label(r.prompt_id, r.labeler, r.completion_ids, r.ranks) for r in rankings]
    right, prompt_ids = report.outcomes(rankings)
    # Smaller models: some of what the large one got right is drawn anew.
    smaller = [[one if draw.random() < share else float(draw.random() < 0.5) for one in right] for share in (0.6, 0.8)]
    return report.card(rankings, labels, LABELERS[:3], slope(SIZES, [*smaller, right], prompt_ids))


def empty(version: ModelVersion) -> ReportCard:
    """What is said where nothing was held out."""
    return ReportCard.objects.create(
        version=version, project=version.project, content=report.card([], [], []), sha256="d" * 64
    )


def _ranking(draw: random.Random, number: int) -> ScoredRanking:
    """Three answers: each has a worth, people see it with noise, the model sees it with noise and likes length."""
    prompt_id = number // 2
    of_prompt = random.Random(prompt_id)
    answers = [" ".join(of_prompt.choices(TEXT.split(), k=of_prompt.randint(3, 30))) for _ in range(3)]
    worth = [of_prompt.gauss(0, 1) for _ in answers]
    seen = [one + draw.gauss(0, 0.6) for one in worth]
    scores = [2 * one + of_prompt.gauss(0, 0.5) + math.log(len(text)) for one, text in zip(worth, answers, strict=True)]
    best_first = sorted(range(3), key=lambda place: -seen[place])
    ranks = [1 + best_first.index(place) for place in range(3)]
    return ScoredRanking(
        prompt_id=prompt_id, ranks=ranks, scores=scores, labeler=draw.choice(LABELERS), iteration=1 + prompt_id % 2,
        level=min(3, int(max(seen) - min(seen))), completion_ids=[3 * prompt_id + place for place in range(3)],
        completions=answers,
    )  # fmt: skip
