"""Unit scores of many versions as one table, and what can be said about their order before any model is fitted.

A table holds one unit score per (prompt, pair of versions) of one judge. Whether a Bradley-Terry fit exists is a
question about the graph of wins (Ford 1957), answered here in words; so is whether the preferences go in a circle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import stdtr

from rlhf.learning.stats.multiplicity import holm

FEW_PROMPTS = 20  # fewer clusters than this say too little about their own spread for a ranking with intervals
MAX_STEPS = 20_000  # of the search for the largest cycle: finding the longest one is hard in general
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """Unit scores of P prompts and Q pairs among M versions."""

    versions: tuple[int, ...]  # ids, ascending; the columns of every array over versions
    first: Indices  # (Q,) index of the version that is scored, always the smaller one
    second: Indices  # (Q,) index of the other
    scores: Floats  # (P, Q) of the first, 0 to 1; 0 where not judged
    judged: Floats  # (P, Q) 1 where judged, else 0

    @property
    def num_prompts(self) -> int:
        return len(self.scores)

    @property
    def points(self) -> Floats:
        """(M, M): the score that the row's version took from the column's, ties as half."""
        won, counts = self.scores.sum(axis=0), self.judged.sum(axis=0)
        return self.scattered(won, counts - won)

    def scattered(self, forward: Floats, backward: Floats) -> Floats:
        """(M, M) from numbers of pairs (Q,): `forward` at (first, second), `backward` at (second, first)."""
        matrix = np.zeros((len(self.versions), len(self.versions)))
        matrix[self.first, self.second] = forward
        matrix[self.second, self.first] = backward
        return matrix


@dataclass(frozen=True)
class Connection:
    """Whether strengths can be fitted: "fitted", "disconnected", "sweep" or "too_few", and one sentence of why."""

    state: str
    reason: str


def tabulate(prompts: ArrayLike, candidates: ArrayLike, baselines: ArrayLike, scores: ArrayLike) -> Table:
    """One unit score per (prompt, unordered pair): the mean of what is given, turned to the smaller id.

    prompts, candidates, baselines: (n,) ids. scores: (n,) of the candidate, 0 to 1. Raises ValueError for arrays of
    unequal length, a score outside [0, 1], or a version against itself.
    """
    prompt, one, other = (np.asarray(ids, dtype=np.int64) for ids in (prompts, candidates, baselines))
    score = np.asarray(scores, dtype=np.float64)
    if not prompt.shape == one.shape == other.shape == score.shape or score.ndim != 1:
        raise ValueError(f"comparisons: expected arrays of one length, found {[a.shape for a in (prompt, one, score)]}")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("comparisons: expected scores from 0 to 1, found others")
    if (one == other).any():
        raise ValueError(f"comparisons: found version {one[one == other][0]} against itself, expected two versions")
    versions, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    i, j = places[: len(one)], places[len(one) :]
    score = np.where(i < j, score, 1 - score)
    num = max(len(versions), 1)
    pairs, pair = np.unique(np.minimum(i, j) * num + np.maximum(i, j), return_inverse=True)
    ids, row = np.unique(prompt, return_inverse=True)
    shape = (len(ids), len(pairs))
    cell = row * len(pairs) + pair
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(cell, weights=score, minlength=shape[0] * shape[1]).reshape(shape)
    means = sums / np.maximum(counts, 1)
    return Table(tuple(versions.tolist()), pairs // num, pairs % num, means, (counts > 0).astype(np.float64))


def connection(table: Table, names: Mapping[int, str] | None = None) -> Connection:
    """Whether a Bradley-Terry fit of the table exists, and is finite and unique (Ford 1957): the graph with an edge
    from every version to those it took a point from must be strongly connected.

    names: of versions, for the sentence; their ids without.
    """
    names = names or {}
    called = [names.get(version, f"version {version}") for version in table.versions]
    if len(called) < 2:
        return Connection("too_few", f"Found {len(called)} compared versions; a ranking needs two.")
    points = table.points > 0
    num, group = connected_components(points, directed=True, connection="weak")
    if num > 1:
        parts = "; ".join(_listed([called[v] for v in np.flatnonzero(group == g)]) for g in range(num))
        return Connection("disconnected", f"No comparisons link these groups, so they share no scale: {parts}.")
    num, group = connected_components(points, directed=True, connection="strong")
    if num > 1:
        best = next(g for g in range(num) if not points[group != g][:, group == g].any())
        top = _listed([called[v] for v in np.flatnonzero(group == best)])
        return Connection("sweep", f"The others took no point from {top}, so the lead has no finite size.")
    if table.num_prompts < FEW_PROMPTS:
        found = f"Found {table.num_prompts} judged prompts"
        return Connection("too_few", f"{found}; a ranking with intervals needs {FEW_PROMPTS}.")
    return Connection("fitted", f"{len(called)} versions compared on {table.num_prompts} prompts.")


def largest_cycle(table: Table, confidence: float = 0.95) -> list[int] | None:
    """The largest circle of versions, each preferred to the next and the last to the first; None if there is none.

    A preference counts where the pair's mean unit score differs from 1/2 by a t test over prompts, Holm over all
    pairs: where all versions are alike, a cycle is named with a chance of at most 1 - confidence. Ids, from the
    smallest. Above some ten versions in one knot the search is cut off and names the largest cycle found.
    """
    beats = _preferences(table, 1 - confidence)
    num, group = connected_components(beats, directed=True, connection="strong")
    knots = sorted((np.flatnonzero(group == g).tolist() for g in range(num)), key=len, reverse=True)
    longest: list[int] = []
    for knot in knots:
        if len(knot) > max(len(longest), 2):
            inside = set(knot)
            following = {v: [w for w in np.flatnonzero(beats[v]).tolist() if w in inside] for v in knot}
            longest = max(longest, _longest(knot, following), key=len)
    return [table.versions[v] for v in longest] or None


def _preferences(table: Table, alpha: float) -> NDArray[np.bool_]:
    """(M, M): True where the row's version is preferred to the column's beyond chance."""
    counts = table.judged.sum(axis=0)  # (Q,)
    mean = table.scores.sum(axis=0) / counts
    squares = (table.judged * (table.scores - mean) ** 2).sum(axis=0)
    freedom = np.maximum(counts - 1, 1)
    error = np.sqrt(np.maximum(squares, 0.25) / freedom / counts)  # no pair is without noise: at least half a verdict
    p = np.where(counts > 1, 2 * stdtr(freedom, -np.abs(mean - 0.5) / error), 1.0)
    certain = holm(p) <= alpha
    return table.scattered(certain & (mean > 0.5), certain & (mean < 0.5)) > 0


def _longest(knot: Sequence[int], following: Mapping[int, Sequence[int]]) -> list[int]:
    """The longest simple cycle that a bounded search in depth finds; it starts at its smallest member."""
    best: list[int] = []
    steps = 0
    for start in knot:
        path: list[int] = [start]
        waiting: list[Iterator[int]] = [iter(following[start])]
        while waiting and steps < MAX_STEPS and len(best) < len(knot):
            steps += 1
            version = next(waiting[-1], None)
            if version is None:
                waiting.pop()
                path.pop()
            elif version == start and len(path) > len(best):
                best = list(path)
            elif version > start and version not in path:
                path.append(version)
                waiting.append(iter(following[version]))
    return best


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
