"""What a right answer is: the share of a known answer that somebody's answer agrees with.

Two orders agree pair by pair: a pair in the expected order counts 1, in the opposite one 0, and where just one of the
two is a tie a half. So ranking at random, and calling everything a tie, both come to a half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf.learning.stats.agreement import order_share

RIGHT_FROM = 0.8  # a pair has to be right; of the six pairs of four answers, five


def score(*, expected: Mapping[str, Any], body: Mapping[str, Any], places: Sequence[str]) -> float:
    """The mean, in [0, 1], over the parts of the expected answer; `places` names the screen key of each completion.

    expected: ranks and flags in the order of the task, "category", "safety", "all_bad", "strength" as answers carry
    them; at least one.
    """
    shares = [part(expected[name], body, places) for name, part in PARTS.items() if name in expected]
    assert shares, f"an expected answer needs some of {', '.join(PARTS)}, found {sorted(expected)}"
    return sum(shares) / len(shares)


def _ranks(expected: Sequence[int], body: Mapping[str, Any], places: Sequence[str]) -> float:
    return order_share(expected, [body["ranks"][key] for key in places])


def _flags(expected: Sequence[Sequence[str]], body: Mapping[str, Any], places: Sequence[str]) -> float:
    """The share of completions whose flags are exactly the expected ones."""
    found = body.get("flags", {})
    same = [set(names) == set(found.get(key, ())) for names, key in zip(expected, places, strict=True)]
    return sum(same) / len(same)


def _same(name: str) -> Callable[[Any, Mapping[str, Any], Sequence[str]], float]:
    return lambda expected, body, _places: float(body.get(name) == expected)


def _all_bad(expected: bool, body: Mapping[str, Any], _places: Sequence[str]) -> float:
    return float(bool(body.get("all_bad")) == expected)


PARTS: dict[str, Callable[[Any, Mapping[str, Any], Sequence[str]], float]] = {
    "ranks": _ranks, "flags": _flags, "category": _same("category"), "safety": _same("safety"), "all_bad": _all_bad,
}  # fmt: skip
