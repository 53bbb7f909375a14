"""Twelve simulated labelers. What they answer is a function of (seed, task, slot): who came first changes nothing.

A labeler grades every completion with the gold score plus Gumbel noise of that labeler's size, on a scale with steps as
wide as the labeler can tell apart; completions on the same step tie. So the probability of every order of two
completions is known exactly, and with it the accuracy that nobody can beat on these labels.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.management.demo import chance, gold, grammar

_TAG = re.compile(r"<[^>]*>")
_BLOCK_TAG = re.compile(r"</?(?:p|br|div|li|ul|ol|h[1-6]|pre|blockquote|tr|table)\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True)
class Labeler:
    """A persona: account name, size of its noise and of the smallest difference it sees, in points of gold."""

    name: str
    noise: float
    step: float = 0.25


NAMES = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "larch")
CARELESS = Labeler(NAMES[7], noise=3.0)
LABELERS = tuple(
    CARELESS if name == CARELESS.name else Labeler(name, noise=0.3 + 0.04 * place) for place, name in enumerate(NAMES)
)


def text_of_html(markup: str) -> str:
    """The words of a completion as the labeling API shows it: tags away, entities back, white space folded."""
    return gold.normalised(html.unescape(_TAG.sub("", _BLOCK_TAG.sub(" ", markup))))


def task_key(prompt_text: str, completion_texts: Sequence[str] = ()) -> str:
    """A task's name that survives restarts and does not depend on the order shown."""
    texts = [gold.normalised(prompt_text), *sorted(gold.normalised(text) for text in completion_texts)]
    return f"{chance.number('task', *texts):016x}"


def persona(seed: int, task_key: str, slot: int) -> Labeler:
    """Who answers this slot of this task."""
    return LABELERS[chance.number(seed, "persona", task_key, slot) % len(LABELERS)]


def rank(seed: int, task_key: str, slot: int, prompt_text: str, completion_texts: Sequence[str]) -> list[int]:
    """Ranks in the order given, 1 = best, equal numbers for ties (1, 2, 2, 4)."""
    labeler = persona(seed, task_key, slot)
    phase = chance.uniform(seed, "phase", task_key, slot)
    steps = []
    for text in completion_texts:
        noise = -math.log(-math.log(chance.uniform(seed, "noise", task_key, slot, gold.normalised(text))))
        steps.append(math.floor((gold.score(prompt_text, text) + labeler.noise * noise) / labeler.step + phase))
    return [1 + sum(other > step for other in steps) for step in steps]


def compare(seed: int, task_key: str, slot: int, prompt_text: str, completion_a: str, completion_b: str) -> str:
    """Which of two answers is better: "a", "b" or "tie"."""
    rank_a, rank_b = rank(seed, task_key, slot, prompt_text, [completion_a, completion_b])
    return "tie" if rank_a == rank_b else "a" if rank_a < rank_b else "b"


def demonstration(seed: int, task_key: str, slot: int, prompt_text: str) -> str:
    """The answer that this slot's person writes. A prompt that the grammar didn't write gets a short, polite one."""
    request = grammar.parse(prompt_text)
    if request is None:
        return "I am glad to help. Please ask me again."
    return grammar.demonstration(request, key=(seed, task_key, slot))


def outcome(labeler: Labeler, difference: float) -> tuple[float, float]:
    """Probabilities that this labeler ranks a above b, and b above a, where gold(a) - gold(b) = `difference`.

    The noise difference is logistic, the scale's phase uniform: the average over it is a difference of softplus.
    """
    return _above(labeler, difference), _above(labeler, -difference)


def _above(labeler: Labeler, difference: float) -> float:
    low, high = (difference - labeler.step) / labeler.noise, difference / labeler.noise
    return labeler.noise / labeler.step * (_softplus(high) - _softplus(low))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def preference(prompt_text: str, completion_a: str, completion_b: str) -> float:
    """Probability that a label on this pair prefers a, given that it is no tie, whoever gives it."""
    difference = gold.score(prompt_text, completion_a) - gold.score(prompt_text, completion_b)
    outcomes = [outcome(labeler, difference) for labeler in LABELERS]
    above, below = sum(a for a, _ in outcomes), sum(b for _, b in outcomes)
    return above / (above + below)


def ceiling(pairs: Sequence[tuple[str, str, str]]) -> float:
    """E[max(p, 1 - p)] over (prompt, completion, completion): what a perfect judge would score on the noisy labels."""
    chances = [preference(*pair) for pair in pairs]
    return sum(max(chance, 1 - chance) for chance in chances) / len(chances)
