"""Whether a reward model leans on something (length, a phrase) more than the labels justify.

For comparisons with score difference d and label y, sigma(a d) is fitted by a alone. If scores say all there is to
say, the residuals sigma(a d) - y have nothing to do with a feature's difference f; a model that likes the feature for
itself overrates whoever has more of it. The statistic is Rao's score test of adding f, with prompts as clusters. It
isn't enough that model and feature go together: where labelers like long answers, a good model does too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtr

ALPHA = 0.01  # of each family of tests
MIN_PAIRS = 20  # in which a feature has to differ
NUM_PHRASES = 100  # most frequent ones that are tested
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """One feature; positive z: the model leans on it more than the labels do, negative: less."""

    name: str
    z: float
    p_value: float  # two-sided, before any correction for the number of features
    model_rate: float  # share of pairs in which the model prefers the one with more of it; a tie counts half
    label_rate: float  # the same of the labelers
    num_pairs: int  # in which it differs
    flagged: bool


def score_test(features: Floats, differences: Floats, outcomes: Floats, clusters: NDArray[np.intp]) -> Floats:
    """z of each feature, (K,); 0 where nothing can be said.

    features: (n, K), of the first less of the second. differences: (n,), of raw scores. outcomes: (n,), 1 where the
    first was preferred. clusters: (n,), 0 to G - 1. The slope a is profiled out: what is tested is what features say
    beyond d.
    """
    slope = _slope(differences, outcomes)
    p = expit(slope * differences)
    weights = p * (1 - p)
    scale = float((weights * differences**2).sum())
    beyond = features
    if scale > 0:
        beyond = features - differences[:, None] * ((weights * differences) @ features / scale)
    contributions = (p - outcomes)[:, None] * beyond  # (n, K)
    num_clusters = int(clusters.max()) + 1
    sums = np.zeros((num_clusters, features.shape[1]))
    np.add.at(sums, clusters, contributions)
    correction = num_clusters / max(1, num_clusters - 1)
    deviation = np.sqrt(correction * np.square(sums).sum(0))
    found: Floats = np.divide(sums.sum(0), deviation, out=np.zeros(features.shape[1]), where=deviation > 1e-12)
    return found


def shortcuts(
    names: Sequence[str],
    features: Floats,
    differences: Floats,
    outcomes: Floats,
    prompts: Sequence[int],
    both_sides: bool = False,
) -> list[Shortcut]:
    """One family of features, flagged with a family-wise error of ALPHA (Holm), strongest first.

    both_sides: flag the model's neglect too (what only labelers can see, such as a position). The rest as in
    `score_test`.
    """
    if not names or not len(differences):
        return []
    _, clusters = np.unique(np.asarray(prompts), return_inverse=True)
    z = score_test(features, differences, outcomes, clusters)
    p_values = 2 * stdtr(max(1, int(clusters.max())), -np.abs(z))  # t with G - 1 degrees of freedom
    rejected = holm(p_values.tolist(), ALPHA)
    found = []
    for k, name in enumerate(names):
        differs = features[:, k] != 0
        sign = np.sign(features[differs, k])
        found.append(
            Shortcut(
                name=name,
                z=float(z[k]),
                p_value=float(p_values[k]),
                model_rate=_mean((1 + sign * np.sign(differences[differs])) / 2),
                label_rate=_mean((1 + sign * (2 * outcomes[differs] - 1)) / 2),
                num_pairs=int(differs.sum()),
                flagged=bool(rejected[k] and (both_sides or z[k] > 0)),
            )
        )
    return sorted(found, key=lambda one: -abs(one.z))


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall with a family-wise error of at most alpha (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    rejected = [False] * len(p_values)
    for place, k in enumerate(order):
        if p_values[k] > alpha / (len(p_values) - place):
            break
        rejected[k] = True
    return rejected


def length_features(first: Sequence[str], second: Sequence[str]) -> Floats:
    """ln of the ratio of lengths in characters, (n, 1)."""
    return np.array([[math.log((1 + len(a)) / (1 + len(b)))] for a, b in zip(first, second, strict=True)])


def phrase_features(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], Floats]:
    """The phrases of one to three words that differ in most pairs, and +1, 0 or -1 for who has each: (n, K).

    Phrases are chosen by how often they differ, without a look at scores or labels; of phrases that always come
    together the longest stands for all.
    """
    grams = [(_phrases(a), _phrases(b)) for a, b in zip(first, second, strict=True)]
    counts = Counter(phrase for a, b in grams for phrase in a ^ b)
    names = [phrase for phrase, count in counts.most_common(3 * NUM_PHRASES) if count >= MIN_PAIRS]
    columns: dict[bytes, tuple[str, Floats]] = {}
    for name in names:
        column = np.array([float(name in a) - float(name in b) for a, b in grams])
        known = columns.get(column.tobytes())
        if known is None or len(name) > len(known[0]):
            columns[column.tobytes()] = (name, column)
    chosen = list(columns.values())[:NUM_PHRASES]
    features = np.stack([column for _, column in chosen], axis=1) if chosen else np.zeros((len(grams), 0))
    return [name for name, _ in chosen], features


def _phrases(text: str) -> set[str]:
    words = "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
    return {" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)}


def _slope(differences: Floats, outcomes: Floats) -> float:
    """The maximum-likelihood a of sigma(a d), by Newton's method; capped where the scores never err."""
    scale = float(np.abs(differences).mean())
    if scale == 0:
        return 0.0
    d, a = differences / scale, 0.0
    for _ in range(50):
        p = expit(a * d)
        curvature = float((p * (1 - p) * d * d).sum())
        step = float(((outcomes - p) * d).sum()) / max(curvature, 1e-9)
        a = min(max(a + max(-1.0, min(1.0, step)), -20.0), 20.0)
        if abs(step) < 1e-10:
            break
    return a / scale


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.5
