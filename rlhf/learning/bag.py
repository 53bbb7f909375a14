"""The bag of best-of-N: the best distinct answers of every prompt over all rounds. Torch-free.

Llama 2 (2307.09288, section 3.2.3) trained on the last round's best alone at first, and lost skills that earlier rounds
had; afterwards on the best of all rounds. Scores of two reward models don't compare, so what another one scored is
scored again before it is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def next_round(bag: Sequence[Mapping[str, Any]]) -> int:
    """The number of the round that adds to this bag."""
    return max((row["round"] for row in bag), default=-1) + 1


def merge(bag: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    """The best `size` distinct answers of every prompt, best first, prompts by id.

    Two answers are one where their texts are but for white space at both ends; the one that was there first stays. Of
    equal scores the earlier one comes first.

    bag, answers: rows of tables.BAG, all scored by one reward model.
    """
    assert len({row["scorer"] for row in (*bag, *answers)}) <= 1, "scores of two reward models don't compare"
    distinct: dict[tuple[int, str], dict[str, Any]] = {}
    for row in (*bag, *answers):
        distinct.setdefault((row["prompt_id"], row["completion"].strip()), dict(row))
    of_prompt: dict[int, list[dict[str, Any]]] = {}
    for row in distinct.values():
        of_prompt.setdefault(row["prompt_id"], []).append(row)
    return [
        row
        for prompt_id in sorted(of_prompt)
        for row in sorted(of_prompt[prompt_id], key=lambda row: (-row["score"], row["round"]))[:size]
    ]
