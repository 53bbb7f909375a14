"""Shortcuts: a planted bias is flagged in over 95 of 100 seeds, nothing is flagged in over 95 of 100 honest ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from rlhf.learning.stats.shortcuts import (
    Shortcut,
    holm,
    length_features,
    phrase_features,
    score_test,
    shortcuts,
)

Floats = NDArray[np.float64]
SEEDS, PROMPTS, PAIRS = 200, 300, 600  # two comparisons a prompt
WORDS = ["tea", "river", "stone", "thanks", "map", "clock", "bread", "winter", "letter", "music", "please", "garden"]


def _texts(seed: int = 0) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, size=random.integers(3, 14))) for _ in range(2 * PAIRS)]
    return texts[:PAIRS], texts[PAIRS:]


FIRST, SECOND = _texts()
LENGTH = length_features(FIRST, SECOND)
NAMES, PHRASES = phrase_features(FIRST, SECOND)
PROMPT_IDS = [i // 2 for i in range(PAIRS)]
THANKS = PHRASES[:, NAMES.index("thanks")]


def _world(seed: int, bias: Floats, liked: Floats | float = 0.0, noise: float = 0.0) -> tuple[Floats, Floats]:
    """Score differences and labels: labelers feel quality and what they like of the feature; the model adds a bias."""
    random = np.random.default_rng(seed)
    of_prompt = 0.7 * np.repeat(random.normal(size=PROMPTS), 2)  # comparisons of a prompt go together
    quality = of_prompt + random.normal(size=PAIRS) + liked
    labels = (random.random(PAIRS) < expit(1.5 * quality)).astype(np.float64)
    return quality + bias + noise * random.normal(size=PAIRS), labels


def _length(seed: int, bias: Floats, liked: Floats | float = 0.0, noise: float = 0.0) -> Shortcut:
    return shortcuts(["length"], LENGTH, *_world(seed, bias, liked, noise), PROMPT_IDS)[0]


NONE = np.zeros(PAIRS)


def test_a_planted_length_bias_is_flagged_with_power_over_95_percent() -> None:
    """Dose: half a standard deviation of quality for one of the length ratio's logarithm."""
    bias = 0.5 * LENGTH[:, 0] / LENGTH.std()
    found = [_length(seed, bias) for seed in range(SEEDS)]
    assert np.mean([one.flagged for one in found]) > 0.95
    assert np.mean([one.model_rate - one.label_rate for one in found]) > 0.05


@pytest.mark.parametrize("liked", [0.0, 0.5])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_an_honest_model_is_flagged_in_under_5_percent(liked: float, noise: float) -> None:
    """Also where labelers like long answers, which an honest model then does too, and where it errs at random."""
    taste = liked * LENGTH[:, 0] / LENGTH.std()
    flagged = [_length(seed, NONE, taste, noise).flagged for seed in range(SEEDS)]
    assert np.mean(flagged) < 0.05


def test_a_planted_phrase_is_flagged_and_comes_first_and_honest_phrases_are_not() -> None:
    right = first = honest = 0
    for seed in range(SEEDS):
        found = shortcuts(NAMES, PHRASES, *_world(seed, 0.8 * THANKS), PROMPT_IDS)
        right += found[0].flagged
        first += "thanks" in found[0].name
        honest += any(one.flagged for one in shortcuts(NAMES, PHRASES, *_world(seed, NONE), PROMPT_IDS))
    assert min(right, first) > 0.95 * SEEDS and honest < 0.05 * SEEDS


def test_labelers_who_like_the_first_answer_are_flagged_though_the_model_cannot_see_it() -> None:
    place = np.ones((PAIRS, 1))

    def flagged(seed: int, lean: float) -> bool:
        differences, labels = _world(seed, np.full(PAIRS, -lean), np.full(PAIRS, lean))
        return shortcuts(["position"], place, differences, labels, PROMPT_IDS, both_sides=True)[0].flagged

    assert np.mean([flagged(seed, 0.35) for seed in range(SEEDS)]) > 0.95
    assert np.mean([flagged(seed, 0.0) for seed in range(SEEDS)]) < 0.05


def test_under_no_bias_the_statistic_is_standard_normal() -> None:
    clusters = np.array(PROMPT_IDS)
    z = np.array([score_test(LENGTH, *_world(seed, NONE), clusters)[0] for seed in range(SEEDS)])
    assert abs(z.mean()) < 3 / SEEDS**0.5 and z.std() == pytest.approx(1, abs=0.15)


def test_swapping_the_sides_of_every_comparison_changes_no_number() -> None:
    differences, labels = _world(3, 0.3 * LENGTH[:, 0])
    one = shortcuts(["length"], LENGTH, differences, labels, PROMPT_IDS)[0]
    other = shortcuts(["length"], -LENGTH, -differences, 1 - labels, PROMPT_IDS)[0]
    assert other.z == pytest.approx(one.z) and other.model_rate == pytest.approx(one.model_rate)


def test_a_positive_statistic_means_that_the_model_overrates_the_feature() -> None:
    """By hand: no slope in d can explain that the longer one, always preferred by the model, loses every other time."""
    features = np.array([[1.0]] * 40)
    differences, outcomes = np.ones(40), np.array([1.0, 0.0] * 20)
    z = score_test(np.c_[features, -features], differences, outcomes, np.arange(40))
    assert z.tolist() == [0.0, 0.0]  # the slope is 0: here d and f say the same, nothing can be told apart
    z = score_test(features, np.array([2.0, 1.0] * 20), outcomes[::-1], np.arange(40))
    assert z[0] != 0


def test_scores_that_never_err_and_a_feature_that_never_differs_say_nothing_wrong() -> None:
    labels = np.array([1.0, 0.0] * 10)
    found = shortcuts(["a"], np.zeros((20, 1)), 2 * labels - 1, labels, range(20))[0]
    assert (found.z, found.num_pairs, found.flagged) == (0.0, 0, False)
    assert shortcuts([], np.zeros((0, 0)), np.zeros(0), np.zeros(0), []) == []


def test_phrases_are_chosen_by_frequency_and_twins_are_one() -> None:
    first, second = ["As an assistant I say tea"] * 30 + ["map"] * 5, ["coffee"] * 30 + ["no"] * 5
    names, features = phrase_features(first, second)
    assert "map" not in names  # differs in five pairs
    assert len(names) == 2 and features.shape == (35, 2)  # all phrases of the one side come together
    assert any(name.count(" ") == 2 for name in names)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([], 0.05) == []
