"""The rules' promise, measured: careful people are hardly ever paused, however often one looks; the careless soon."""

from __future__ import annotations

import math
import random

import pytest

from annotate import signals
from annotate.signals import LOOK_EVERY, STRETCH, Answered
from rlhf.learning.stats.agreement import order_share
from tests.annotate.crowd import always_left, at_random, careful, ranked

SHOWN = 900  # characters: 9 seconds at a thousand words a minute
LONG_S, SHORT_S = 30.0, 2.0
NUM = 60  # simulated people of each kind


def person(
    seed: int, *, rank=careful, size: int = 4, gold_share: float = 0.2, others: int = 2, fast: float = 0.0
) -> list[Answered]:
    """A stretch of answers: gold by chance, the rest answered by `others` careful people too."""
    draw, answers = random.Random(seed), []
    for index in range(STRETCH):
        qualities = draw.sample(range(1, size + 1), size)  # in the order on screen, which is the order of the task here
        mine, truth = tuple(rank(draw, qualities)), ranked(list(map(float, qualities)))
        is_gold = draw.random() < gold_share
        answers.append(
            Answered(
                assignment_id=index, ranks=mine, places=tuple(range(size)), shown_characters=SHOWN,
                gold_score=order_share(truth, mine) if is_gold else None,
                seconds=SHORT_S if draw.random() < fast else LONG_S,
                others=() if is_gold else tuple(tuple(careful(draw, qualities)) for _ in range(others)),
            )
        )  # fmt: skip
    return answers


def paused_after(answers: list[Answered]) -> tuple[int, str] | None:
    for num in range(LOOK_EVERY, len(answers) + 1, LOOK_EVERY):
        rule = signals.broken(answers[:num])
        if rule is not None:
            return num, rule
    return None


@pytest.mark.parametrize("size", [2, 4])
def test_nobody_careful_is_paused(size: int) -> None:
    assert [seed for seed in range(NUM) if paused_after(person(seed, size=size))] == []


@pytest.mark.parametrize(
    ("rule", "size", "how"),
    [
        ("accuracy", 4, {"rank": at_random}),
        ("position", 4, {"rank": always_left}),
        ("position", 2, {"rank": always_left}),
        ("pace", 2, {"fast": 0.9}),
    ],
)
def test_the_careless_are_paused_within_60_answers_by_the_rule_that_they_break(rule, size, how) -> None:
    found = [paused_after(person(seed, size=size, **how)) for seed in range(NUM)]
    assert all(hit is not None and hit[0] <= 60 for hit in found)
    assert sum(hit[1] == rule for hit in found) > 0.9 * NUM


def test_random_answers_to_pairs_take_longer_but_are_found_within_a_stretch() -> None:
    found = [paused_after(person(seed, rank=at_random, size=2)) for seed in range(NUM)]
    assert sum(hit is not None for hit in found) >= 0.8 * NUM


def test_somebody_exactly_on_a_floor_is_paused_no_oftener_than_stated_however_often_one_looks() -> None:
    draw = random.Random(0)
    trials, limit = 1_000, math.log(1 / 0.05)
    crossed = 0
    for _ in range(trials):
        wrong = [float(draw.random() < 1 - signals.GOLD_FLOOR) for _ in range(100)]
        crossed += any(
            signals.log_bet(share / (1 - signals.GOLD_FLOOR) for share in wrong[:num]) >= limit
            for num in range(5, 101, 5)
        )
    assert crossed / trials <= 0.05


def test_a_mild_lean_to_one_side_is_human() -> None:
    def leaning(draw: random.Random, qualities: list[int]) -> list[int]:
        return [1, 2] if draw.random() < 0.58 else [2, 1]

    answers = [person(seed, rank=leaning, size=2, gold_share=0, others=0) for seed in range(NUM)]
    assert not any(paused_after(stretch) for stretch in answers)


def test_agreement_without_anybody_trusted_pauses_nobody() -> None:
    assert paused_after(person(1, rank=at_random, size=2, gold_share=0, others=0)) is None


@pytest.mark.parametrize(
    ("characters", "seconds"), [(0, 0), (600, 6), (1_200, 12), (100_000, signals.ALWAYS_ENOUGH_S)]
)  # fmt: skip
def test_the_least_time_to_read_by_hand(characters: int, seconds: float) -> None:
    assert signals.needed_s(characters) == seconds


def test_a_tie_for_the_best_tells_nothing_about_place() -> None:
    assert Answered(1, ranks=(1, 1, 2), places=(0, 1, 2)).top_place is None
    assert Answered(1, ranks=(2, 1, 3), places=(2, 0, 1)).top_place == 0


def test_the_stated_rates_add_up_to_one_percent() -> None:
    assert sum(signals.FALSE_PAUSES.values()) == pytest.approx(0.01)
