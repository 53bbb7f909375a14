"""Rankings of one completion set share its forwards: half the work for two labelers, and the numbers of none shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlhf.learning import dpo, reward, reward_model
from rlhf.learning.chunks import in_chunks
from rlhf.learning.completion_sets import EncodedRanking, distinct, side_by_side
from rlhf.learning.configs import DPOConfig, EngineConfig
from rlhf.learning.policy import load_policy, load_tokenizer
from rlhf.learning.rankings import RankingBatch, collate, encode_rankings, parts
from rlhf.learning.records import comparisons
from rlhf.learning.reward import loss_of_heads
from rlhf.learning.sft import epoch_batches
from rlhf.learning.tables import RANKINGS, write_table
from rlhf.learning.text import Batch, Encoded
from tests.learning.rankings import (
    CPU,
    metric_lines,
    ranking_rows,
    read_by,
    reward_config,
    text_config,
    turned,
)


def _by_two(count: int, num_held_out: int = 0) -> list[dict[str, Any]]:
    """Every set ranked by two people who disagree about it and count differently."""
    rows = ranking_rows(count, num_held_out)
    return [one for row in rows for one in (row, turned(row, ranks=[2, 1, 1, 3], weight=0.7))]


def _pairs_by_two() -> list[dict[str, Any]]:
    """Three sets of two, of which the first two are ranked by two people each, with safety labels."""
    rows = [
        row
        | {name: row[name][1:3] for name in ("completions", "completion_ids")}
        | {"ranks": [1, 2], "safety": safety, "strength": 3, "strength_scale": "four"}
        for row, safety in zip(ranking_rows(3), ("chosen", "neither", "both"), strict=True)
    ]
    others = [turned(rows[0], safety="neither", weight=0.3), turned(rows[1], safety="", strength=1)]
    return [rows[0], others[0], rows[1], others[1], rows[2]]


def _encode(rows: list[dict[str, Any]], path: Path, margin: str = "off") -> list[EncodedRanking]:
    return encode_rankings(read_by(load_tokenizer(str(path)), text_config("chat")), rows, margin)


def _loss_and_gradients(
    groups: list[list[EncodedRanking]], network: torch.nn.Module, loss: Callable[[RankingBatch], Tensor], ties: bool
) -> tuple[float, Tensor]:
    network.zero_grad()
    total = 0.0
    for group in groups:
        found = loss(collate(group, 0, ties=ties))
        found.backward()
        total += found.item()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return total, torch.cat(gradients)


def _require_equal(
    encoded: list[EncodedRanking], network: torch.nn.Module, loss: Callable[[RankingBatch], Tensor], ties: bool = False
) -> None:
    """That of all rankings in one batch, which share, is the sum over rankings alone, which can't."""
    (one, gradient), (other, expected) = (
        _loss_and_gradients(groups, network, loss, ties) for groups in ([encoded], [[r] for r in encoded])
    )
    assert one == pytest.approx(other, rel=1e-6)
    assert expected.abs().max() > 0 and (gradient - expected).abs().max() / expected.abs().max() < 1e-6


REWARD_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1, "margin": "large"},
    "davidson": {"ties": "davidson", "tie_threshold": 0.6},
    "heads and safety": {"num_heads": 3, "safety_coefficient": 0.5},
    "chunks": {"completions_per_forward": 3},
}


@pytest.mark.parametrize("options", REWARD_OPTIONS.values(), ids=REWARD_OPTIONS)
def test_shared_forwards_change_no_number_of_a_reward_model(options: dict[str, Any], llama_path: Path) -> None:
    config = reward_config(llama_path, "chat", **options)
    model = reward_model.load(str(llama_path), CPU, num_heads=config.num_heads)
    model.network.double()
    rows = _pairs_by_two() if config.safety_coefficient or config.margin != "off" else _by_two(3)
    encoded = _encode(rows, llama_path, config.margin)
    scores = partial(reward_model.head_scores, model)

    def loss(batch: RankingBatch) -> Tensor:
        return loss_of_heads(in_chunks(scores, batch.batch, config.completions_per_forward), batch, config)

    _require_equal(encoded, model.network, loss, config.ties != "drop")


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto"])
def test_shared_forwards_change_no_number_of_a_direct_method(name: str, llama_path: Path) -> None:
    policy, reference = load_policy(str(llama_path), CPU), load_policy(str(llama_path), CPU).model
    with torch.no_grad():
        for number, parameter in enumerate(policy.model.parameters()):
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    for network in (policy.model, reference.requires_grad_(False)):
        network.double()
    networks = dpo.Networks(policy, reference)
    config = DPOConfig(str(llama_path), loss=name, desirable_weight=1.3)  # type: ignore[arg-type]

    def loss(batch: RankingBatch) -> Tensor:
        return dpo.loss_of(dpo.log_ratios(networks, batch.batch, name == "ipo"), batch, 0.1, config)

    _require_equal(_encode(_by_two(3), llama_path), policy.model, loss)


def test_completions_are_one_by_their_id_within_a_set_and_never_by_their_tokens(llama_path: Path) -> None:
    first, second, third = ranking_rows(3)
    same_words = first | {"completions": ["as said"] * 4}
    other_set = turned(first, completion_ids=[99, 2, 1, 0])  # another set, of which three are known
    edited = turned(
        first, completion_ids=[3, 2, 1, 0, -1500], completions=[*first["completions"][::-1], "better"],
        ranks=[2, 3, 4, 5, 1], edited=True,
    )  # fmt: skip
    ids_of_another_prompt = second | {"completion_ids": first["completion_ids"]}
    texts_that_changed = turned(first, completions=[*first["completions"][::-1][:3], "anew"])
    for rows, expected in (
        ([same_words], [0, 1, 2, 3]),
        ([first, turned(first)], [0, 1, 2, 3, 3, 2, 1, 0]),
        ([first, other_set], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([first, edited], [0, 1, 2, 3, 3, 2, 1, 0, 4]),
        ([first, ids_of_another_prompt], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([first, texts_that_changed], [0, 1, 2, 3, 3, 2, 1, 4]),
        ([first, third, turned(first)], [0, 1, 2, 3, 4, 5, 6, 7, 3, 2, 1, 0]),
    ):
        encoded = _encode(rows, llama_path)
        batch = collate(encoded, 0)
        assert distinct(encoded)[1] == batch.places.tolist() == expected
        assert len(batch.batch.row_ids) == len(set(expected))
        given_ = [sequence.completion_ids for ranking in encoded for sequence in ranking.sequences]
        laid_out = [batch.batch.completion_ids[place][batch.batch.completion_mask[place]] for place in batch.places]
        assert [ids.tolist() for ids in laid_out] == given_


def test_every_labeler_keeps_the_weight_of_their_own_ranking(llama_path: Path) -> None:
    batch = collate(_encode(_by_two(2), llama_path), 0)
    totals = torch.zeros(4).index_add(0, batch.rankings, batch.pair_weights)
    assert totals.tolist() == pytest.approx([0.5, 0.7, 1.0, 0.7])


def _forwarded(encoded: list[EncodedRanking], lengths: list[int], together: list[list[int]] | None) -> int:
    batches = epoch_batches(lengths, 8, 0, 0, together)
    assert sorted(row for rows in batches for row in rows) == list(range(len(encoded)))
    each = (part for rows in batches for part in parts([encoded[row] for row in rows], 4))
    return sum(len(collate(part, 0).batch.row_ids) for part in each)


def test_an_epoch_forwards_each_completion_once_where_sets_lie_side_by_side(llama_path: Path) -> None:
    encoded = _encode(_by_two(12), llama_path)
    lengths, together = side_by_side(encoded)
    assert _forwarded(encoded, lengths, together) == 12 * 4
    assert _forwarded(encoded, lengths, None) > 1.3 * 12 * 4


def test_a_set_stays_together_though_somebody_edited_an_answer_to_a_long_one(llama_path: Path) -> None:
    rows = _by_two(12)
    for i in range(1, 24, 2):
        rows[i] |= {name: [*rows[i][name], new] for name, new in
                    (("completion_ids", -rows[i]["ranking_id"]), ("completions", "long " * (i % 5 + 4)))}  # fmt: skip
        rows[i] |= {"edited": True, "ranks": [3, 2, 2, 4, 1]}
    encoded = _encode(rows, llama_path)
    lengths, together = side_by_side(encoded)
    assert _forwarded(encoded, lengths, together) == 12 * 5


def test_training_forwards_each_completion_once_an_epoch(
    llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, _by_two(12))
    counted: list[int] = []
    real = reward_model.head_scores

    def counting(model: Any, batch: Batch) -> Tensor:
        counted.append(len(batch.row_ids))
        return real(model, batch)

    monkeypatch.setattr(reward_model, "head_scores", counting)
    config = reward_config(llama_path, "chat", batch_size=8, micro_batch_size=4, num_epochs=2)
    reward.run(tmp_path, config)
    assert sum(counted) == 2 * 48 + 48  # two epochs, and once to find the gain: 288 rows if nobody shared


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 30)), min_size=1, max_size=40), st.integers(1, 9))
def test_an_epoch_of_sets_has_every_ranking_once_in_full_batches(drawn: list[tuple[int, int]], size: int) -> None:
    encoded = [
        EncodedRanking(
            {"ranking_id": i, "prompt_id": prompt, "completion_ids": [1, 2], "edited": False},
            [Encoded(i, [1], [2] * length), Encoded(i, [1], [3])], comparisons([1, 2]), 1.0,
        )
        for i, (prompt, length) in enumerate(drawn)
    ]  # fmt: skip
    lengths, together = side_by_side(encoded)
    for epoch in range(2):
        batches = epoch_batches(lengths, size, 3, epoch, together)
        assert sorted(row for rows in batches for row in rows) == list(range(len(encoded)))
        assert sum(len(rows) < size for rows in batches) <= 1 and len(batches) == -(-len(encoded) // size)
        assert batches == epoch_batches(lengths, size, 3, epoch, together)


def test_where_every_set_has_one_ranking_the_batches_are_those_of_single_rows(llama_path: Path) -> None:
    encoded = _encode(ranking_rows(12), llama_path)
    lengths, together = side_by_side(encoded)
    assert lengths == [max(sequence.length for sequence in ranking.sequences) for ranking in encoded]
    for epoch in range(3):
        assert epoch_batches(lengths, 4, 7, epoch, together) == epoch_batches(lengths, 4, 7, epoch)


@pytest.mark.parametrize("chunk", [None, 3])
def test_two_people_who_say_the_same_teach_what_one_does(chunk: int | None, llama_path: Path, tmp_path: Path) -> None:
    one = [row | {"weight": 1.0} for row in ranking_rows(12)]
    both = [again for row in one for again in (row, turned(row, ranks=row["ranks"][::-1]))]
    for name, rows, size in (("one", one, 4), ("both", both, 8)):
        write_table(tmp_path / name / "data/rankings.parquet", RANKINGS, rows)
        config = reward_config(
            llama_path, "chat", batch_size=size, micro_batch_size=size, num_epochs=2,
            completions_per_forward=chunk, engine=EngineConfig(checkpoint_every=0),
        )  # fmt: skip
        reward.run(tmp_path / name, config)
    losses = [[line["loss"] for line in metric_lines(tmp_path / name)] for name in ("one", "both")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(losses[0]) == 6


def test_equal_sequences_are_scored_once_and_all_get_the_score(llama_path: Path) -> None:
    model = reward_model.load(str(llama_path), CPU)
    rows = _encode(_by_two(3), llama_path)
    sequences = [sequence for ranking in rows for sequence in ranking.sequences]
    told: list[tuple[int, int]] = []
    scores = reward_model.score(model, sequences, 5, lambda done, total: told.append((done, total)))
    assert len(told) == 3 and told[-1] == (24, 24)  # twelve sequences, five at a time
    alone = [reward_model.score(model, [sequence], 1)[0] for sequence in sequences]
    assert scores == pytest.approx(alone, abs=1e-5)
