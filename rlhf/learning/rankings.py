"""Rankings as training reads them: checked row by row, as tokens, and whole rankings laid out for one forward.

What the reward model and the direct methods (DPO, IPO, KTO) share. A row that can't be used is named, with its field,
before any training step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.learning import records, tables
from rlhf.learning.completion_sets import EncodedRanking, distinct
from rlhf.learning.configs import InputError
from rlhf.learning.reading import Reader
from rlhf.learning.records import comparisons
from rlhf.learning.report import Label, ScoredRanking, accuracy
from rlhf.learning.text import Batch, right_pad

RANKING = "data/rankings.parquet: ranking"  # what a row is called in messages


class NoComparisons(InputError):
    """Rankings that say nothing: no training ranking prefers one completion to another."""


@dataclass(frozen=True)
class RankingBatch:
    """The M different completions of whole rankings in one forward (`distinct`), and comparisons as indices into it."""

    ranking_ids: list[int]
    batch: Batch  # (M, T)
    winners: Tensor  # (P,); with `losers` just the two where tied
    losers: Tensor  # (P,)
    tied: Tensor  # (P,) bool
    margins: Tensor  # (P,)
    pair_weights: Tensor  # (P,), weight of the ranking over its number of comparisons
    rankings: Tensor  # (P,), which of the batch's rankings a pair belongs to
    places: Tensor  # (N,), which of the batch's M completions each of the rankings' N completions is
    safe: Tensor  # (N,), 1 for safe completions, 0 for others
    safety_weights: Tensor  # (N,), weight of the ranking over its number of labeled completions; 0 without a label
    owners: Tensor  # (N,), which of the batch's rankings a completion belongs to


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a rankings file.

    Raises:
        TableError: names the first row and field that can't be used, what was found and what was expected.
    """
    rows = tables.read_table(path, tables.RANKINGS)
    for row in rows:
        for field, good, expected in _checks(row):
            if not good:
                raise tables.TableError(
                    f"{path}: ranking {row['ranking_id']}, field {field}: found {_short(row[field])}, "
                    f"expected {expected}"
                )
    return rows


def _checks(row: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """(field, whether it can be used, what was expected); later checks may rely on earlier ones."""
    count = len(row["completions"])
    yield "prompt", bool(row["prompt"]) and all(isinstance(m["content"], str) for m in row["prompt"]), "messages"
    yield "completions", count >= 2, "two or more"
    yield "completions", all(isinstance(completion, str) for completion in row["completions"]), "texts"
    yield "completion_ids", len(row["completion_ids"]) == count, f"as many of each: {count}, as completions"
    yield "ranks", len(row["ranks"]) == count, f"as many of each: {count}, as completions"
    yield "ranks", all(isinstance(rank, int) and rank >= 1 for rank in row["ranks"]), "1 for the best and upwards"
    yield "weight", 0 <= row["weight"] < math.inf, "a finite number, 0 or more"
    yield "split", row["split"] in ("train", "held_out"), "train or held_out"
    try:
        level = records.level(row["strength"], row["strength_scale"])
    except ValueError:
        yield "strength", False, "1 to 4 on the scale four, 0 to 3 on seven, 0 where there is no scale"
        return
    told_of = count - (1 if row["edited"] else 0)
    yield "strength", level is None or told_of == 2, f"none for a ranking of {told_of}: it is that of a pair"
    best = row["ranks"].count(1) == 1 and row["ranks"][-1] == 1
    yield "ranks", not row["edited"] or best, "the last completion, an edited text, alone at rank 1"
    yield "safety", row["safety"] in ("", *records.SAFETY), f"one of {', '.join(records.SAFETY)}, or an empty text"
    yield "safety", not row["safety"] or told_of == 2, f"none for a ranking of {told_of}: it is that of a pair"
    tied = len(set(row["ranks"][:told_of])) == 1
    yield "safety", row["safety"] != "chosen" or not tied, "both or neither for a tie, in which none is chosen"


def _short(value: object) -> str:
    return text if len(text := repr(value)) <= 100 else f"{text[:97]}..."


def encode_rankings(
    as_read: Reader,
    rows: Sequence[Mapping[str, Any]],
    margin: str = "off",
    labeler_weights: Mapping[str, float] | None = None,
) -> list[EncodedRanking]:
    """Rows as tokens with their comparisons; `margin` names one of records.MARGINS.

    Raises:
        TableError: a prompt that can't be used.
    """
    encoded = []
    for row in rows:
        sequences = [as_read.answer(row["ranking_id"], row["prompt"], c) for c in row["completions"]]
        level = records.level(row["strength"], row["strength_scale"])
        found = comparisons(row["ranks"])
        margins = (
            records.margins(row["ranks"], level, records.MARGINS[margin], row["edited"]) if margin != "off" else ()
        )
        weight = row["weight"] * (labeler_weights or {}).get(row["labeler"], 1.0)
        safe = records.safety_labels(row["ranks"], row["safety"], row["edited"])
        encoded.append(EncodedRanking(row, sequences, found, weight, level, tuple(margins), safe))
    return encoded


def split(rankings: Sequence[EncodedRanking], ties: bool) -> tuple[list[EncodedRanking], list[EncodedRanking]]:
    """Training rankings that say something (a tie says something where `ties`), and the held-out ones.

    Raises:
        NoComparisons: there is nothing to train on.
    """
    train = informative([r for r in rankings if r.row["split"] == "train"], ties)
    if not train:
        raise NoComparisons(
            f"data/rankings.parquet: found no training ranking with a preference and a weight above 0 among "
            f"{len(rankings)} rows, expected at least one"
        )
    return train, [r for r in rankings if r.row["split"] == "held_out"]


def informative(rankings: Sequence[EncodedRanking], ties: bool) -> list[EncodedRanking]:
    """Those with a weight above 0 and a comparison; a tie is one where `ties`."""
    return [r for r in rankings if r.weight > 0 and (r.comparisons.winners or (ties and r.comparisons.ties))]


def collate(
    rankings: Sequence[EncodedRanking], pad_id: int, device: torch.device | str = "cpu", ties: bool = False
) -> RankingBatch:
    """Lay whole rankings out for one forward: K forwards for up to K(K-1)/2 comparisons, with or without their ties,
    and for those of everyone else who ranked the same set."""
    sequences, places = distinct(rankings)
    winners: list[int] = []
    losers: list[int] = []
    tied: list[bool] = []
    margins: list[float] = []
    weights: list[float] = []
    numbers: list[int] = []
    safe: list[bool] = []
    safety_weights: list[float] = []
    owners: list[int] = []
    first = 0
    for number, ranking in enumerate(rankings):
        pairs, num_pairs = ranking.comparisons, ranking.num_pairs
        tie_pairs = pairs.ties if ties else ()
        total = num_pairs + len(tie_pairs)
        mine = places[first : first + len(ranking.sequences)]
        winners += [mine[index] for index in (*pairs.winners, *(i for i, _ in tie_pairs))]
        losers += [mine[index] for index in (*pairs.losers, *(j for _, j in tie_pairs))]
        tied += [False] * num_pairs + [True] * len(tie_pairs)
        margins += [*(ranking.margins or [0.0] * num_pairs), *[0.0] * len(tie_pairs)]
        weights += [ranking.weight / total] * total
        numbers += [number] * total
        labels = ranking.safe or (None,) * len(ranking.sequences)
        share = ranking.weight / max(1, len(labels) - labels.count(None))
        safe += [label is True for label in labels]
        safety_weights += [0.0 if label is None else share for label in labels]
        owners += [number] * len(labels)
        first += len(labels)
    return RankingBatch(
        ranking_ids=[ranking.row["ranking_id"] for ranking in rankings],
        batch=right_pad(sequences, pad_id, device),
        winners=torch.tensor(winners, device=device),
        losers=torch.tensor(losers, device=device),
        tied=torch.tensor(tied, dtype=torch.bool, device=device),
        margins=torch.tensor(margins, device=device),
        pair_weights=torch.tensor(weights, device=device),
        rankings=torch.tensor(numbers, device=device),
        places=torch.tensor(places, device=device),
        safe=torch.tensor(safe, dtype=torch.float32, device=device),
        safety_weights=torch.tensor(safety_weights, device=device),
        owners=torch.tensor(owners, device=device),
    )


def parts(rankings: Sequence[EncodedRanking], size: int) -> Iterator[Sequence[EncodedRanking]]:
    """Whole rankings, `size` at a time."""
    return (rankings[start : start + size] for start in range(0, len(rankings), size))


def scored_rows(rankings: Sequence[EncodedRanking], scores: Tensor) -> list[dict[str, Any]]:
    """Rows of tables.REWARD_ROWS. scores: (N, H), of each completion by each head."""
    means = scores.mean(1, keepdim=True)
    spread = (scores - means).square().mean(1).sqrt()  # over heads, biased
    score_of, spread_of = iter(means[:, 0].tolist()), iter(spread.tolist())
    return [
        {
            "ranking_id": ranking.row["ranking_id"],
            "prompt_id": ranking.row["prompt_id"],
            "labeler": ranking.row["labeler"],
            "iteration": ranking.row["iteration"],
            "completion_id": completion_id,
            "rank": rank,
            "score": next(score_of),
            "disagreement": next(spread_of),
        }
        for ranking in rankings
        for completion_id, rank in zip(ranking.row["completion_ids"], ranking.row["ranks"], strict=True)
    ]


def counts(rankings: Sequence[EncodedRanking], training: Sequence[EncodedRanking]) -> dict[str, int]:
    """What was trained on and what was left out: nothing is skipped in silence."""
    of_train = [ranking for ranking in rankings if ranking.row["split"] == "train"]
    return {
        "num_train": len(training),
        "num_train_left_out": len(of_train) - len(training),  # of weight 0, or of ties alone where those are dropped
        "num_tied_pairs": sum(ranking.comparisons.num_ties for ranking in of_train),
    }


def scored(rankings: Sequence[EncodedRanking], scores: Sequence[float]) -> list[ScoredRanking]:
    """Rankings with the scores of their completions, as a report reads them. scores: (N,)."""
    score_of = iter(scores)
    return [
        ScoredRanking(
            prompt_id=r.row["prompt_id"],
            ranks=r.row["ranks"],
            scores=[next(score_of) for _ in r.sequences],
            labeler=r.row["labeler"],
            iteration=r.row["iteration"],
            level=r.level,
            completion_ids=r.row["completion_ids"],
            completions=r.row["completions"],
            edited=r.row["edited"],
        )
        for r in rankings
    ]


def labels(rankings: Sequence[EncodedRanking]) -> list[Label]:
    """What people answered by themselves, of either split; a reviewer who saw their answers agrees too easily."""
    return [
        Label(r.row["prompt_id"], r.row["labeler"], r.row["completion_ids"], r.row["ranks"])
        for r in rankings
        if not r.row["adjudicated"]
    ]


def held_out_accuracy(rankings: Sequence[EncodedRanking], scores: Sequence[float]) -> dict[str, Any]:
    """Accuracy with its interval, clustered by prompt; None where nothing is held out. scores: (N,)."""
    found = accuracy(scored(rankings, scores))
    return {
        "accuracy": found.mean if found else None,
        "accuracy_low": found.low if found else None,
        "accuracy_high": found.high if found else None,
        "num_pairs": found.num_rows if found else 0,
        "num_rankings": sum(bool(ranking.comparisons.winners) for ranking in rankings),
    }
