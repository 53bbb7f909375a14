"""What a reward run is told beyond the default changes what it learns: margins, ties, smoothing, weights, ensembles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.learning import rankings, reward, reward_model
from rlhf.learning.chunks import in_chunks
from rlhf.learning.completion_sets import EncodedRanking
from rlhf.learning.configs import ConfigError, RewardConfig, from_dict
from rlhf.learning.policy import ModelError
from rlhf.learning.rankings import collate, encode_rankings
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.tables import DEMONSTRATIONS, RANKINGS, REWARD_ROWS, TableError, read_table, write_table
from rlhf.learning.text import encode, right_pad
from tests.learning.conftest import demonstration_rows
from tests.learning.rankings import (
    CPU,
    metric_lines,
    ranking_rows,
    rankings_folder,
    read_by,
    result,
    reward_config,
    text_config,
    weights,
)


def _pairs(count: int, **values: Any) -> list[dict[str, Any]]:
    """Rankings of two, all of train: the answer over rudeness."""
    rows = ranking_rows(count)
    return [
        row
        | {name: row[name][1:3] for name in ("completion_ids", "completions")}
        | {"ranks": [1, 2], "weight": 1.0}
        | values
        for row in rows
    ]


def _run(folder: Path, rows: list[dict[str, Any]], config: RewardConfig) -> RewardModel:
    write_table(folder / "data/rankings.parquet", RANKINGS, rows)
    reward.run(folder, config)
    return reward_model.load(str(folder / "model"), CPU, num_heads=config.num_heads)


def _differences(model: RewardModel, rows: list[dict[str, Any]]) -> torch.Tensor:
    """Raw score of the first completion less that of the second, (rows,)."""
    sequences = [
        encode(model.tokenizer, 0, r["prompt"], c, text_config("chat")) for r in rows for c in r["completions"]
    ]
    scores = torch.tensor(reward_model.score(model, sequences, 16)).reshape(len(rows), -1)
    return scores[:, 0] - scores[:, 1]


def test_a_large_margin_spreads_scores_more_than_a_small_one_and_none(llama_path: Path, tmp_path: Path) -> None:
    """Smoothing gives each its optimum: where 0.9 sigma(m - d) = 0.1 sigma(d + m), d is 2.2, 3.1 and 5.1."""
    rows = _pairs(12, strength=4, strength_scale="four")
    spread = {}
    for margin in ("off", "small", "large"):
        config = reward_config(llama_path, "chat", num_epochs=30, margin=margin, label_smoothing=0.1)
        spread[margin] = _differences(_run(tmp_path / margin, rows, config), rows).mean().item()
    assert spread == {
        "off": pytest.approx(2.2, rel=0.1),
        "small": pytest.approx(3.1, rel=0.1),
        "large": pytest.approx(5.1, rel=0.1),
    }


def test_a_margin_asks_nothing_of_pairs_without_strength(llama_path: Path, tmp_path: Path) -> None:
    found = []
    for margin in ("off", "large"):
        config = reward_config(llama_path, "chat", num_epochs=1, margin=margin)
        _run(tmp_path / margin, _pairs(12), config)
        found.append(weights(tmp_path / margin / "model"))
    assert found[0] == found[1]


def test_label_smoothing_keeps_scores_together(llama_path: Path, tmp_path: Path) -> None:
    rows = _pairs(12)
    spread = [
        _differences(
            _run(tmp_path / str(e), rows, reward_config(llama_path, "chat", num_epochs=30, label_smoothing=e)), rows
        )
        for e in (0.0, 0.2)
    ]
    # A flip of one in five is fitted best by a difference of ln 4 = 1.39.
    assert spread[0].mean() > 2.5 > spread[1].mean() > 0.7


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_ties_with_a_likelihood_pull_tied_answers_together(ties: str, llama_path: Path, tmp_path: Path) -> None:
    """The same pair shown over and over: preferred once, tied seven times."""
    rows = _pairs(8)
    for row in rows[1:]:
        row["ranks"] = [1, 1]
    one = [row | {"prompt": rows[0]["prompt"], "completions": rows[0]["completions"]} for row in rows]
    differences = {}
    for name in ("drop", ties):
        config = reward_config(llama_path, "chat", num_epochs=25, ties=name, batch_size=8, micro_batch_size=8)
        differences[name] = _differences(_run(tmp_path / name, one, config), one[:1]).item()
    metrics = result(tmp_path / ties)["metrics"]
    assert differences["drop"] > 5 and 0 < differences[ties] < 2.5
    assert (metrics["num_train"], metrics["num_tied_pairs"]) == (8, 7)
    expected = 2 * (7 / 8) / (1 / 8) if ties == "davidson" else (15 / 8) / (1 / 8)
    assert metrics["tie_threshold"] == pytest.approx(expected)
    dropped = result(tmp_path / "drop")["metrics"]
    assert (dropped["num_train"], dropped["num_train_left_out"], dropped["num_tied_pairs"]) == (1, 7, 7)


def test_a_labeler_of_weight_zero_is_not_learned_from(llama_path: Path, tmp_path: Path) -> None:
    """One labeler contradicts the other; whose weight is 0 loses."""
    honest, liar = _pairs(12, labeler="honest"), _pairs(12, labeler="liar", ranks=[2, 1])
    liar = [row | {"ranking_id": row["ranking_id"] + 100} for row in liar]
    for name, sign in (("liar", 1), ("honest", -1)):
        config = reward_config(llama_path, "chat", num_epochs=6, labeler_weights={name: 0.0})
        model = _run(tmp_path / name, honest + liar, config)
        assert (sign * _differences(model, honest)).mean() > 0.5
        assert result(tmp_path / name)["metrics"]["num_train"] == 12


def test_a_row_counts_by_its_weight(llama_path: Path, tmp_path: Path) -> None:
    light, heavy = _pairs(12, weight=0.2), _pairs(12, ranks=[2, 1], weight=1.0)
    heavy = [row | {"ranking_id": row["ranking_id"] + 100} for row in heavy]
    model = _run(tmp_path, light + heavy, reward_config(llama_path, "chat", num_epochs=12))
    assert _differences(model, light).mean() < -0.5


def test_an_ensemble_doubts_most_what_it_has_not_seen(llama_path: Path, tmp_path: Path) -> None:
    config = reward_config(llama_path, "chat", num_epochs=6, num_heads=5)
    reward.run(rankings_folder(tmp_path, count=30), config)
    model = reward_model.load(str(tmp_path / "model"), CPU, num_heads=5)
    heads = model.network.score.weight
    assert heads.shape[0] == 5 and torch.pdist(heads).min() > 0.1
    sequences = [
        encode(model.tokenizer, 0, r["prompt"], r["completions"][0], text_config("chat")) for r in ranking_rows(6)
    ]
    by_head = reward_model.score_heads(model, sequences, 4)
    assert by_head.mean(1).tolist() == pytest.approx(reward_model.score(model, sequences, 3), abs=1e-5)
    rows = read_table(tmp_path / "rows.parquet", REWARD_ROWS)
    expected = (model.gain * by_head[0]).std(correction=0).item()
    assert rows[0]["disagreement"] == pytest.approx(expected, abs=1e-4) and expected > 0
    assert result(tmp_path)["metrics"]["accuracy"] > 0.6


def test_one_head_has_no_disagreement_and_an_ensemble_goes_on_with_its_heads_alone(
    llama_path: Path, tmp_path: Path
) -> None:
    reward.run(rankings_folder(tmp_path / "one"), reward_config(llama_path, "chat", num_epochs=1))
    assert {row["disagreement"] for row in read_table(tmp_path / "one/rows.parquet", REWARD_ROWS)} == {0.0}
    reward.run(rankings_folder(tmp_path / "two"), reward_config(llama_path, "chat", num_epochs=1, num_heads=2))
    with pytest.raises(ModelError, match="num_heads: expected 2 as the model .* has, found 1"):
        reward_model.load(str(tmp_path / "two/model"), CPU)
    assert reward_model.load_trained(str(tmp_path / "two/model"), CPU).num_heads == 2


def test_heads_are_trained_on_bootstraps_that_depend_on_seed_and_ranking_alone() -> None:
    drawn = torch.tensor([reward.bootstrap_multipliers(7, i, 8) for i in range(2000)])
    assert set(drawn.unique().tolist()) == {0.0, 2.0} and drawn.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.1
    assert reward.bootstrap_multipliers(7, 3, 8) == drawn[3].tolist()


def _gradient(model: RewardModel, encoded: list[EncodedRanking], config: RewardConfig) -> torch.Tensor:
    model.network.double().zero_grad()
    batch = collate(encoded, model.pad_id)
    reward.loss_of_heads(
        in_chunks(partial(reward_model.head_scores, model), batch.batch, config.completions_per_forward), batch, config
    ).backward()
    return torch.cat([p.grad.flatten() for p in model.network.parameters() if p.grad is not None])


def test_gradients_in_chunks_equal_those_of_the_whole(any_model: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = any_model
    model = reward_model.load(str(path), CPU)
    config = reward_config(path, prompt_format)
    encoded = encode_rankings(read_by(model.tokenizer, config.text), ranking_rows(3))
    whole = _gradient(model, encoded, config)
    for chunk in (1, 5, 11):
        chunked = _gradient(model, encoded, replace(config, completions_per_forward=chunk))
        assert (chunked - whole).abs().max() / whole.abs().max() < 1e-6


def test_chunks_hold_less_at_once(llama_path: Path) -> None:
    """Counted in what autograd keeps between forward and backward."""
    model = reward_model.load(str(llama_path), CPU)
    batch = right_pad(
        [
            s
            for e in encode_rankings(read_by(model.tokenizer, text_config("chat")), ranking_rows(6))
            for s in e.sequences
        ],
        0,
    )
    kept = []
    for chunk in (None, 4):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t):
            in_chunks(partial(reward_model.head_scores, model), batch, chunk)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 20


def test_demonstrations_score_zero_and_samples_of_the_policy_spread_by_one(llama_path: Path, tmp_path: Path) -> None:
    rankings_folder(tmp_path)
    demonstrations = demonstration_rows(12, num_held_out=4)
    write_table(tmp_path / "data/demonstrations.parquet", DEMONSTRATIONS, demonstrations)
    config = reward_config(llama_path, "chat", num_epochs=1, policy=str(llama_path), num_samples=36)
    reward.run(tmp_path, config)
    model = reward_model.load(str(tmp_path / "model"), CPU)
    told = [r for r in demonstrations if r["split"] == "train"]
    sequences = [encode(model.tokenizer, 0, r["prompt"], r["completion"], config.text) for r in told]
    normalised = model.normalised(torch.tensor(reward_model.score(model, sequences, 16), dtype=torch.float64))
    assert normalised.mean().item() == pytest.approx(0, abs=1e-4)
    assert normalised.std().item() != pytest.approx(1, abs=0.005)
    samples = reward.samples_of_policy(model, _training(model, tmp_path, config), config, CPU)
    assert len(samples) == 36 and {s.row_id for s in samples} == set(range(6, 24))
    of_samples = model.normalised(torch.tensor(reward_model.score(model, samples, 16), dtype=torch.float64))
    assert of_samples.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def _training(model: RewardModel, folder: Path, config: RewardConfig) -> list[EncodedRanking]:
    rows = rankings.read(folder / "data/rankings.parquet")
    return rankings.split(encode_rankings(read_by(model.tokenizer, config.text), rows), ties=False)[0]


BAD = {
    "completions": {"completions": ["one"], "completion_ids": [1], "ranks": [1]},
    "ranks": {"ranks": [0, 1, 2, 3]},
    "weight": {"weight": float("nan")},
    "split": {"split": "test"},
    "strength": {"strength": 5, "strength_scale": "four"},
    "prompt": {"prompt": []},
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_row_is_named_with_its_field_before_any_step(field: str, llama_path: Path, tmp_path: Path) -> None:
    rows = ranking_rows(6)
    rows[4] |= BAD[field]
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, rows)
    with pytest.raises(TableError, match=f"ranking {rows[4]['ranking_id']}, field {field}: found .*, expected"):
        reward.run(tmp_path, reward_config(llama_path, "chat"))
    assert not (tmp_path / "metrics.jsonl").exists()


def test_strength_is_said_of_a_pair_alone(tmp_path: Path) -> None:
    write_table(
        tmp_path / "rankings.parquet", RANKINGS, [ranking_rows(1)[0] | {"strength": 2, "strength_scale": "four"}]
    )
    with pytest.raises(TableError, match="ranking 500, field strength: found 2, expected none for a ranking of 4"):
        rankings.read(tmp_path / "rankings.parquet")


def test_an_answer_of_end_of_text_alone_is_an_answer(llama_path: Path, tmp_path: Path) -> None:
    rows = [row | {"completions": [row["completions"][0], ""]} for row in _pairs(8)]
    model = _run(tmp_path, rows, reward_config(llama_path, "chat", num_epochs=4))
    assert _differences(model, rows).mean() > 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"margin": "huge"}, "reward.margin: expected one of"),
        ({"margin": "small", "ties": "davidson"}, "margin: expected off where ties have a likelihood"),
        ({"tie_threshold": 0.9, "ties": "rao_kupper"}, "tie_threshold: expected more than 1"),
        ({"label_smoothing": 0.5}, "label_smoothing: expected 0 <= x < 0.5"),
        ({"labeler_weights": {"ann": -1}}, "labeler_weights: expected 0 or more for ann"),
        ({"labeler_weights": {"ann": "much"}}, "reward.labeler_weights.ann: expected float"),
        ({"num_heads": 0}, "num_heads: expected at least 1"),
        ({"completions_per_forward": 0}, "completions_per_forward: expected at least 1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict("reward", {"model": "somewhere"} | values)


def test_metrics_say_what_was_trained_on(llama_path: Path, tmp_path: Path) -> None:
    rows = ranking_rows(12)
    rows[1]["weight"] = 0.0
    _run(tmp_path, rows, reward_config(llama_path, "chat", num_epochs=1))
    metrics = result(tmp_path)["metrics"]
    assert (metrics["num_train"], metrics["num_train_left_out"]) == (11, 1)
    assert metrics["num_tied_pairs"] == 4 and metrics["tie_threshold"] is None
    assert len(metric_lines(tmp_path)) == 2
