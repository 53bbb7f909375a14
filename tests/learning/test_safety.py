"""Safety labels of pairs: which answers they are about, what they cost, and what they teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.learning import loop, rankings, reward, reward_model
from rlhf.learning.configs import ConfigError, from_dict
from rlhf.learning.preference_losses import safety_loss
from rlhf.learning.rankings import collate, encode_rankings
from rlhf.learning.records import safety_labels
from rlhf.learning.safety import NoSafetyLabels, held_out
from rlhf.learning.tables import RANKINGS, TableError, write_table
from tests.learning.oracles import preferences
from tests.learning.rankings import CPU, ranking_rows, read_by, result, reward_config, text_config, weights
from tests.learning.rows import WORDS


def _pairs(count: int, num_held_out: int = 0) -> list[dict[str, Any]]:
    """Two answers each. With poison both are unsafe, without it both safe; which one is chosen says nothing of it."""
    rows = []
    for i, row in enumerate(ranking_rows(count, num_held_out)):
        danger = " with poison" if i % 2 else ""
        texts = [f"Take the {WORDS[i % 12]}{danger}.", f"A {WORDS[i % 12]}{danger} it is."]
        rows.append(
            row
            | {"completions": texts, "completion_ids": [2 * i, 2 * i + 1], "ranks": [1, 2], "weight": 1.0}
            | {"safety": "neither" if i % 2 else "both"}
        )
    return rows


def _folder(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_table(path / "data/rankings.parquet", RANKINGS, rows)
    return path


def test_a_label_of_the_pair_is_a_label_of_each_answer() -> None:
    assert safety_labels([2, 1], "chosen", False) == (False, True)
    assert safety_labels([2, 1], "both", False) == (True, True)
    assert safety_labels([2, 1], "neither", False) == (False, False)
    assert safety_labels([1, 2, 3], "", False) == (None, None, None)
    assert safety_labels([3, 2, 1], "chosen", True) == (False, True, None)  # nobody was asked about the edited text


def test_the_loss_by_hand() -> None:
    """A safe answer at ln 3 (p = 3/4) costs ln 4/3; an unsafe one at ln 3 costs ln 4."""
    scores, weights_ = torch.tensor([3.0, 3.0, 3.0]).log(), torch.tensor([1.0, 0.5, 0.0])
    found = safety_loss(scores, torch.tensor([1.0, 0.0, 0.0]), weights_)
    assert found.item() == pytest.approx(torch.tensor([4 / 3]).log().item() + 0.5 * torch.tensor([4.0]).log().item())


def test_whole_rankings_cost_what_the_reference_says(llama_path: Path) -> None:
    rows = _pairs(4)
    rows[1] |= {"safety": "", "weight": 0.5}
    rows[2] |= {"safety": "chosen", "weight": 2.0}
    model = reward_model.load(str(llama_path), CPU)
    batch = collate(encode_rankings(read_by(model.tokenizer, text_config("chat")), rows), model.pad_id)
    scores = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    labels = [safety_labels(row["ranks"], row["safety"], False) for row in rows]
    each = [row["weight"] for row in rows]
    found = safety_loss(scores, batch.safe.double(), batch.safety_weights.double() / sum(each))
    assert found.item() == pytest.approx(preferences.safety(labels, each, scores.reshape(4, 2).tolist()), rel=1e-12)


def test_with_the_loss_raw_scores_tell_safe_from_unsafe_and_without_it_they_do_not(
    llama_path: Path, tmp_path: Path
) -> None:
    metrics = {}
    for coefficient in (0.0, 1.0):
        config = reward_config(llama_path, "chat", num_epochs=8, safety_coefficient=coefficient)
        folder = _folder(tmp_path / str(coefficient), _pairs(32, num_held_out=8))
        reward.run(folder, config)
        metrics[coefficient] = result(folder)["metrics"]
    assert metrics[1.0]["safety_accuracy"] == metrics[1.0]["unsafe_recall"] == 1.0
    assert metrics[0.0]["safety_accuracy"] < 0.8
    assert metrics[1.0]["num_safety_labels"] == 16
    assert metrics[1.0]["accuracy"] >= 0.9  # the preference is learned beside it


@pytest.mark.parametrize("num_heads", [1, 3])
def test_micro_batches_change_no_number(num_heads: int, llama_path: Path) -> None:
    gradients = []
    rows = _pairs(6)
    rows[0] |= {"safety": "", "weight": 3.0}
    for size in (6, 2):
        model = reward_model.load(str(llama_path), CPU, num_heads=num_heads)
        config = replace(reward_config(llama_path, "chat"), safety_coefficient=0.7, num_heads=num_heads)
        encoded = encode_rankings(read_by(model.tokenizer, config.text), rows)
        parts = (collate(part, model.pad_id, CPU) for part in rankings.parts(encoded, size))
        loop.accumulate(
            parts,
            lambda part, model=model, config=config: reward.loss_of_heads(  # type: ignore[misc]
                reward_model.head_scores(model, part.batch), part, config
            ),
            8.0,
            lambda part: part.ranking_ids,
        )
        gradients.append(model.network.score.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-5)
    assert gradients[0].abs().sum() > 0


def test_labels_change_nothing_where_the_loss_is_off(llama_path: Path, tmp_path: Path) -> None:
    found = []
    for label in ("both", ""):
        folder = _folder(tmp_path / f"label-{label}", [row | {"safety": label} for row in _pairs(8)])
        reward.run(folder, reward_config(llama_path, "chat", num_epochs=1))
        found.append(weights(folder / "model"))
    assert found[0] == found[1]


def test_a_loss_without_any_label_is_refused(llama_path: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path, [row | {"safety": ""} for row in _pairs(8)])
    with pytest.raises(NoSafetyLabels, match="field safety: found no label in 8 training rankings, expected at least"):
        reward.run(folder, reward_config(llama_path, "chat", safety_coefficient=1.0))
    with pytest.raises(ConfigError, match="safety_coefficient: expected 0 or more, found -1"):
        from_dict("reward", {"model": "m", "safety_coefficient": -1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"safety": "maybe"}, "found 'maybe', expected one of chosen, both, neither, or an empty text"),
        ({"safety": "chosen", "ranks": [1, 1]}, "found 'chosen', expected both or neither for a tie"),
    ],
)
def test_a_label_that_makes_no_sense_is_named(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    _folder(tmp_path, [_pairs(1)[0] | values])
    with pytest.raises(TableError, match=f"ranking 500, field safety: {message}"):
        rankings.read(tmp_path / "data/rankings.parquet")
    write_table(tmp_path / "of_four.parquet", RANKINGS, [ranking_rows(1)[0] | {"safety": "both"}])
    with pytest.raises(TableError, match="field safety: found 'both', expected none for a ranking of 4"):
        rankings.read(tmp_path / "of_four.parquet")


def test_recall_is_that_of_unsafe_answers(llama_path: Path) -> None:
    model = reward_model.load(str(llama_path), CPU)
    rows = [_pairs(2)[1], _pairs(1)[0] | {"safety": "chosen"}, _pairs(1)[0] | {"safety": ""}]
    encoded = encode_rankings(read_by(model.tokenizer, text_config("chat")), rows)
    found = held_out(encoded, [-1.0, 1.0, 2.0, -2.0, 9.0, 9.0])
    assert found == {"safety_accuracy": 0.75, "unsafe_recall": pytest.approx(2 / 3), "num_safety_labels": 4}
    assert held_out(encoded[2:], [0.0, 1.0]) == {}
