"""Texts mixed into fine-tuning are learned, a share of every step, each token once a pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.learning import sft
from rlhf.learning.configs import ConfigError, InputError
from rlhf.learning.corpus import cut, places_of_step, read_corpus
from rlhf.learning.policy import load_policy, load_tokenizer
from rlhf.learning.tables import CORPUS, TableError, write_table
from tests.learning.rankings import CPU
from tests.learning.test_sft import config, metrics

TEXT = "a corpus speaks of mills and herons, of salt and of the north wind, and it ends like this. " * 3


def _corpus(folder: Path, *texts: str) -> Path:
    write_table(folder / "data/corpus.parquet", CORPUS, [{"text_id": 7 + i, "text": t} for i, t in enumerate(texts)])
    return folder


def test_mixed_in_texts_are_learned_and_not_when_switched_off(
    llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    losses = {}
    for share in (0.0, 0.25):
        folder = _corpus(demonstrations(str(share)), TEXT)
        sft.run(folder, config(llama_path, num_epochs=8, mix_share=share))
        policy = load_policy(str(folder / "model"), CPU)
        corpus = read_corpus(folder, policy.tokenizer, config(llama_path, mix_share=0.25))
        assert corpus is not None
        losses[share] = sft.mean_loss(policy, corpus.pieces, 4)
    assert losses[0.25] < 0.7 * losses[0.0]


def test_a_share_of_a_steps_rows_are_texts(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = _corpus(demonstrations(), TEXT, "short")
    tokenizer = load_tokenizer(str(llama_path))
    for share, expected in ((0.1, 1), (0.2, 2), (0.5, 8)):
        corpus = read_corpus(folder, tokenizer, config(llama_path, mix_share=share))
        assert corpus is not None and corpus.per_step == expected  # of 8 demonstrations a step
    assert read_corpus(folder, tokenizer, config(llama_path)) is None


def test_the_loss_is_one_mean_over_the_tokens_of_both(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = _corpus(demonstrations(count=8, num_held_out=0), "tea and bread")
    mixed = config(llama_path, num_epochs=1, mix_share=0.1)
    policy = load_policy(str(llama_path), CPU)
    corpus = read_corpus(folder, policy.tokenizer, mixed)
    assert corpus is not None
    sft.run(folder, config(llama_path, num_epochs=1))
    alone, tokens = metrics(folder)[0]["loss"], _tokens(folder, policy.tokenizer)
    for name in ("result.json", "metrics.jsonl"):
        (folder / name).unlink()
    sft.run(folder, mixed)
    (piece,) = corpus.pieces
    of_text, count = sft.mean_loss(policy, [piece], 1), len(piece.completion_ids)
    expected = (alone * tokens + of_text * count) / (tokens + count)
    assert metrics(folder)[0]["loss"] == pytest.approx(expected, abs=1e-5)


def _tokens(folder: Path, tokenizer: object) -> int:
    rows = sft.tables.read_table(folder / "data/demonstrations.parquet", sft.tables.DEMONSTRATIONS)
    return sum(min(48, len(tokenizer(row["completion"])["input_ids"]) + 1) for row in rows)  # type: ignore[operator]


@given(st.integers(2, 60), st.integers(2, 9))
def test_pieces_predict_every_token_but_the_first_once(num_tokens: int, length: int) -> None:
    ids = list(range(num_tokens))
    pieces = cut(3, ids, length)
    assert [i for piece in pieces for i in piece.completion_ids] == ids[1:]
    assert all(piece.length <= length and piece.completion_ids[0] == piece.prompt_ids[0] + 1 for piece in pieces)


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 3))
def test_every_row_comes_once_a_pass(count: int, size: int, seed: int) -> None:
    taken = [place for step in range(2 * count) for place in places_of_step(count, size, step, seed)]
    for start in range(0, len(taken) - count + 1, count):
        assert sorted(taken[start : start + count]) == list(range(count))


def test_a_text_that_cannot_be_used_is_named(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = _corpus(demonstrations(), "good", " ")
    with pytest.raises(TableError, match="corpus.parquet: text 8, field text: found ' ', expected a text"):
        sft.run(folder, config(llama_path, mix_share=0.1))
    with pytest.raises(InputError, match="found no text, expected some for mix_share"):
        sft.run(_corpus(folder), config(llama_path, mix_share=0.1))
    with pytest.raises(ConfigError, match="mix_share: expected 0 <= x < 1, found 1"):
        config(llama_path, mix_share=1.0)
