"""The report card on labels whose noise is known, and on models whose length bias is: `card` as a run writes it.

Noise: two labelers order the same two answers to every prompt, each wrongly with a known probability. Bias: labelers
feel quality (and, in some worlds, like length); a model sees quality, in some worlds with errors, and adds a dose of
length that labelers don't feel. Prompts have two comparisons, which go together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.proofs.numbers import Found, Number, Proof, mean, share
from benchmarks.proofs.sizes import Sizes
from rlhf.learning.report import Label, ScoredRanking, agreement_ceiling, card

NOISES = (0.05, 0.15, 0.25)
MAX_NOISE_ERROR = 0.02
NUM_PROMPTS = 300  # two comparisons each
BIAS = 0.5  # standard deviations of quality for one of the length ratio's logarithm
HONEST = {"honest": (0.0, 0.0), "honest, errs": (0.0, 1.0), "labelers like length": (0.5, 0.0), "both": (0.5, 1.0)}
MIN_POWER, MAX_FALSE = 0.95, 0.05
FIRST_SEED = 10_000  # tests of the statistic use seeds from 0
WORDS = ("tea", "river", "stone", "thanks", "map", "clock", "bread", "winter", "letter", "music", "please", "garden")


def recovered_noise(seed: int, noise: float, num_prompts: int) -> float:
    """The label noise that the report finds where each label is wrong with probability `noise`."""
    wrong = np.random.default_rng(seed).random((num_prompts, 2)) < noise
    labels = [
        Label(i, f"labeler-{who}", [2 * i, 2 * i + 1], [2, 1] if wrong[i, who] else [1, 2])
        for i in range(num_prompts)
        for who in (0, 1)
    ]
    found = agreement_ceiling(labels)
    assert found is not None
    return found.label_noise


def length_flagged(seed: int, bias: float, liked: float = 0.0, errors: float = 0.0) -> bool:
    """Whether the card of one simulated model flags length."""
    random = np.random.default_rng(seed)
    count = 2 * NUM_PROMPTS
    texts = [" ".join(random.choice(WORDS, size=random.integers(3, 14))) for _ in range(2 * count)]
    first, second = texts[:count], texts[count:]
    longer = np.log([(1 + len(a)) / (1 + len(b)) for a, b in zip(first, second, strict=True)])
    longer /= longer.std()
    quality = 0.7 * np.repeat(random.normal(size=NUM_PROMPTS), 2) + random.normal(size=count) + liked * longer
    prefers_first = random.random(count) < 1 / (1 + np.exp(-1.5 * quality))
    scores = quality + bias * longer + errors * random.normal(size=count)
    rankings = [
        ScoredRanking(
            i // 2, [1, 2] if prefers_first[i] else [2, 1], [scores[i], 0.0], completions=[first[i], second[i]]
        )
        for i in range(count)
    ]
    return bool(card(rankings, [], set())["shortcuts"]["length"]["flagged"])


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """One of `num_report_seeds` shares of the seeds: key is `share/of`."""
    part, of = (int(number) for number in key.split("/"))
    seeds = range(FIRST_SEED + part, FIRST_SEED + sizes.num_report_seeds, of)
    found: Found = {"noise": {}, "flagged": {"biased": [length_flagged(seed, BIAS) for seed in seeds]}}
    for noise in NOISES:
        found["noise"][str(noise)] = [recovered_noise(seed, noise, sizes.num_doubly_labeled) for seed in seeds]
    for name, (liked, errors) in HONEST.items():
        found["flagged"][name] = [length_flagged(seed, 0.0, liked, errors) for seed in seeds]
    return found


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    rows = []
    for noise in NOISES:
        values = [value for unit in found.values() for value in unit["noise"][str(noise)]]
        error = mean([value - noise for value in values])
        within = share(sum(abs(value - noise) <= MAX_NOISE_ERROR for value in values), len(values))
        rows += [
            Number(f"noise {noise}: mean error of {len(values)} seeds", *error, "within 0.02", abs(error[0]) <= 0.02),
            Number(f"noise {noise}: seeds within 0.02", *within, "at least 0.95", within[0] >= 0.95),
        ]
    for name in ("biased", *HONEST):
        flags = [flag for unit in found.values() for flag in unit["flagged"][name]]
        rate = share(sum(flags), len(flags))
        expected = "above 0.95" if name == "biased" else "below 0.05"
        holds = rate[0] > MIN_POWER if name == "biased" else rate[0] < MAX_FALSE
        rows.append(Number(f"length flagged, {name}, {len(flags)} seeds", *rate, expected, holds))
    return rows


def _parts(sizes: Sizes) -> list[str]:
    count = max(1, sizes.num_report_seeds // 20)
    return [f"{part}/{count}" for part in range(count)]


PROOF = Proof(
    "report_card", "Planted noise is recovered within 2 points, planted bias flagged.", _parts, compute, numbers
)
