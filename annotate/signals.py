"""What answers say about the care that went into them. Every threshold of the quality rules stands here, once.

Three rules, each a bet against a careful person that pays off only if the person is not careful:

accuracy  right on at least GOLD_FLOOR of the gold tasks, and in agreement with trusted people on at least
          AGREEMENT_FLOOR of the pairs (both together are one bet);
position  the best answer is in no place of the screen more than LEAN oftener than balance gives;
pace      at most TOO_FAST_SHARE of the answers come faster than WORDS_PER_MINUTE could be read.

A bet starts at 1 and is multiplied, answer after answer, by 1 + f (r - 1), where r >= 0 has a mean of at most 1 for a
careful person and 0 < f < 1 (averaged over FRACTIONS). Such a product is a supermartingale: the chance that it ever
reaches 1 / rate, however often one looks, is at most `rate` (Ville 1939; Waudby-Smith and Ramdas 2024 for bounded
means). So looking every few answers costs nothing, and the false pauses of a careful person are at most
sum(FALSE_PAUSES), 1 %, per stretch of STRETCH answers; after it the bets start at 1 again. Who is above the floors
rather than on them is paused far more rarely: tests/annotate/test_quality_rules.py measures it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from annotate.gold import RIGHT_FROM
from rlhf.learning.stats.agreement import order_share

STRETCH = 200  # answers judged together
LOOK_EVERY = 10  # answers
FALSE_PAUSES = {"accuracy": 0.008, "position": 0.001, "pace": 0.001}  # at most, per stretch of a careful person
GOLD_FLOOR = 0.75
AGREEMENT_FLOOR = 0.65  # InstructGPT's labelers agreed on 72.6 +- 1.5 % of their pairs (arXiv 2203.02155)
LEAN = 0.1
TOO_FAST_SHARE = 0.2
WORDS_PER_MINUTE = 1_000  # four times the mean of silent reading, 238 (Brysbaert 2019)
CHARACTERS_PER_WORD = 6  # counted so, because some languages put no spaces between words
ALWAYS_ENOUGH_S = 20.0  # nobody who took so long was too fast, however long the texts
TRUST_FLOOR = 0.6  # lower 95 % bound of the gold share of people whose answers others are compared with
FRACTIONS = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95])


@dataclass(frozen=True)
class Answered:
    """One answer to a work or gold task, as far as the rules look at it."""

    assignment_id: int
    gold_score: float | None = None
    ranks: tuple[int, ...] = ()  # in the order of the task; () for a text
    places: tuple[int, ...] = ()  # where on screen each of them stood, from 0
    seconds: float | None = None  # the shorter of what the page and what the server measured
    shown_characters: int = 0
    others: tuple[tuple[int, ...], ...] = ()  # ranks by other people for the same task; the rules look at trusted ones

    @property
    def top_place(self) -> int | None:
        """Where the best answer stood; None where several are best."""
        best = [place for place, rank in zip(self.places, self.ranks, strict=True) if rank == min(self.ranks)]
        return best[0] if len(best) == 1 else None

    @property
    def is_too_fast(self) -> bool:
        return self.seconds is not None and self.seconds < needed_s(self.shown_characters)

    @property
    def agreement(self) -> float | None:
        shares = [order_share(self.ranks, other) for other in self.others]
        return sum(shares) / len(shares) if shares else None


def needed_s(shown_characters: int) -> float:
    """The seconds below which nobody has read so much."""
    return min(shown_characters / CHARACTERS_PER_WORD / WORDS_PER_MINUTE * 60, ALWAYS_ENOUGH_S)


def broken(answers: Sequence[Answered]) -> str | None:
    """The name of a rule that these answers, a stretch from its start, break; None for a careful person's."""
    bets = {"pace": _pace(answers), "position": _position(answers), "accuracy": _accuracy(answers)}
    return next((rule for rule, log_bet in bets.items() if log_bet >= -math.log(FALSE_PAUSES[rule])), None)


def log_bet(ratios: Iterable[float]) -> float:
    """ln of the bet after `ratios`, which are >= 0 and for a careful person 1 on average, or less."""
    gains = np.fromiter(ratios, dtype=np.float64) - 1
    logs = np.log1p(FRACTIONS[:, None] * gains).sum(axis=1)  # (F,)
    return float(np.logaddexp.reduce(logs) - math.log(len(FRACTIONS)))


def _accuracy(answers: Sequence[Answered]) -> float:
    wrong = [float(answer.gold_score < RIGHT_FROM) for answer in answers if answer.gold_score is not None]
    apart = [1 - share for share in (answer.agreement for answer in answers) if share is not None]
    return log_bet(share / (1 - GOLD_FLOOR) for share in wrong) + log_bet(
        share / (1 - AGREEMENT_FLOOR) for share in apart
    )


def _position(answers: Sequence[Answered]) -> float:
    chosen = [(answer.top_place, len(answer.places)) for answer in answers if answer.places]
    told = [(place, num) for place, num in chosen if place is not None]
    places = range(max((num for _, num in told), default=1))
    bets = [log_bet((top == place) / (1 / num + LEAN) for top, num in told if place < num) for place in places]
    return float(np.logaddexp.reduce(bets) - math.log(len(bets)))


def _pace(answers: Sequence[Answered]) -> float:
    return log_bet(answer.is_too_fast / TOO_FAST_SHARE for answer in answers if answer.seconds is not None)
