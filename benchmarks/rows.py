"""Rows of the tables that benchmarks write into run folders. What nobody said of an answer stands as in older files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotate.management.demo import grammar, labelers
from rlhf.learning import tables

Row = dict[str, Any]
Messages = Sequence[Mapping[str, str]]


def demonstration(index: int, prompt: Messages, completion: str, split: str = "train") -> Row:
    return {
        "demonstration_id": index,
        "prompt_id": index,
        "prompt": prompt,
        "completion": completion,
        "labeler": "",
        "split": split,
    }


def simulated_demonstration(seed: int, index: int) -> Row:
    """An ideal answer by the demo's labelers to prompt `index` of its grammar."""
    request = grammar.request(seed=seed, index=index)
    text = labelers.demonstration(seed, labelers.task_key(request.text), 0, request.text)
    return demonstration(index, request.messages, text)


def ranking(index: int, prompt: Messages, completions: Sequence[str], ranks: Sequence[int], **known: Any) -> Row:
    """An order of completions (1 is best, ties share a rank); `known` are the columns that are unlike the usual."""
    return {
        **tables.added(tables.RANKINGS),
        "ranking_id": index,
        "prompt_id": index,
        "prompt": prompt,
        "completion_ids": list(range(len(completions))),
        "completions": completions,
        "ranks": ranks,
        "labeler": "",
        "weight": 1.0,
        "iteration": 0,
        "split": "train",
    } | known


def simulated_ranking(seed: int, index: int, texts: Sequence[str], **known: Any) -> Row:
    """The order of one of the demo's labelers of answers to prompt `index` of its grammar."""
    request = grammar.request(seed=seed, index=index)
    key = labelers.task_key(request.text, texts)
    ranks, person = labelers.rank(seed, key, 0, request.text, texts), labelers.persona(seed, key, 0)
    return ranking(index, request.messages, texts, ranks, labeler=person.name, **known)


def simulated_pairs(seed: int, pairs: Iterable[tuple[int, str, str]]) -> list[Row]:
    """Pairs (prompt of the demo's grammar, first, second) for a judge."""
    return [
        {
            "pair_id": number,
            "prompt_id": index,
            "prompt": grammar.request(seed=seed, index=index).messages,
            "completion_a": a,
            "completion_b": b,
        }
        for number, (index, a, b) in enumerate(pairs)
    ]
