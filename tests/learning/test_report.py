"""The reward model's report: accuracy in slices beside the ceiling of label noise, calibration, shortcuts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf.learning import reward
from rlhf.learning.report import Label, ScoredRanking, accuracy, agreement_ceiling, card, headline, noise_ceiling
from rlhf.learning.tables import RANKINGS, write_table
from tests.learning.rankings import metric_lines, ranking_rows, result, reward_config


def test_accuracy_counts_every_untied_comparison() -> None:
    # 3 over 2 over the tied two: five comparisons; scores order (a, b), (a, c), (b, c) right, (a, d) and (b, d) wrong.
    found = accuracy([ScoredRanking(1, [1, 2, 3, 3], [2.0, 1.0, 0.0, 9.0])])
    assert found is not None
    assert (found.mean, found.num_rows) == (pytest.approx(3 / 5), 5)


def test_equal_scores_are_half_right() -> None:
    found = accuracy([ScoredRanking(1, [1, 2], [0.5, 0.5])])
    assert found is not None and found.mean == 0.5


def test_rankings_that_are_all_ties_say_nothing() -> None:
    assert accuracy([ScoredRanking(1, [1, 1], [0.0, 1.0])]) is None


def test_rankings_of_one_prompt_are_one_cluster() -> None:
    found = accuracy([ScoredRanking(1, [1, 2], [1.0, 0.0]), ScoredRanking(1, [1, 2], [1.0, 0.0])])
    assert found is not None and (found.num_clusters, found.num_rows) == (1, 2)
    assert found.low < 0.3  # one prompt proves nothing


def test_the_noise_ceiling_is_the_mean_of_the_likelier_side() -> None:
    assert noise_ceiling([0.9, 0.2, 0.5, 1.0], [1, 2, 3, 4]).mean == pytest.approx((0.9 + 0.8 + 0.5 + 1.0) / 4)


def test_no_judge_beats_the_ceiling() -> None:
    random = np.random.default_rng(0)
    gaps = random.normal(size=4000)
    chances = 1 / (1 + np.exp(-2 * gaps))
    labels = random.random(4000) < chances
    ranks = [[1, 2] if label else [2, 1] for label in labels]
    rankings = [ScoredRanking(i, r, [gap, 0.0]) for i, (r, gap) in enumerate(zip(ranks, gaps, strict=True))]
    found, ceiling = accuracy(rankings), noise_ceiling(chances, range(4000))
    assert found is not None
    assert found.mean == pytest.approx(ceiling.mean, abs=3 * found.standard_error)  # the gap itself is the best judge


def _labels(seed: int, noise: float, prompts: int = 4000) -> list[Label]:
    """Two labelers order the same two completions of every prompt, each wrongly with this probability."""
    wrong = np.random.default_rng(seed).random((prompts, 2)) < noise
    return [
        Label(i, f"labeler-{who}", [2 * i, 2 * i + 1], [2, 1] if wrong[i, who] else [1, 2])
        for i in range(prompts)
        for who in (0, 1)
    ]


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.25])
def test_planted_label_noise_is_recovered_within_two_points(noise: float) -> None:
    """The mean over ten seeds within half a point, and nine of ten within the promise; the interval holds the truth."""
    found = [agreement_ceiling(_labels(seed, noise)) for seed in range(10)]
    errors = [abs(one.label_noise - noise) for one in found if one]
    assert len(errors) == 10 and sum(error < 0.02 for error in errors) >= 9
    assert np.mean([one.label_noise for one in found if one]) == pytest.approx(noise, abs=0.007)
    assert sum(one.low <= 1 - noise <= one.high for one in found if one) >= 8


def test_agreement_by_hand() -> None:
    """Three labelers, one pair: two agree. One of three labeler pairs is the same; below a half nothing is left."""
    labels = [Label(1, who, [10, 11], ranks) for who, ranks in (("a", [1, 2]), ("b", [1, 2]), ("c", [2, 1]))]
    found = agreement_ceiling(labels)
    assert found is not None and found.agreement.mean == pytest.approx(1 / 3) and found.agreement.num_rows == 3
    assert (found.ceiling, found.label_noise) == (0.5, 0.5)


def test_agreement_knows_completions_by_their_ids_and_leaves_out_ties_and_the_same_labeler() -> None:
    one = Label(1, "a", [10, 11, 12], [1, 2, 3])
    other_order = Label(1, "b", [12, 10, 11], [3, 1, 1])  # ties 10 and 11
    found = agreement_ceiling([one, other_order])
    assert found is not None and (found.agreement.mean, found.agreement.num_rows) == (1.0, 2)
    assert agreement_ceiling([one, one]) is None and agreement_ceiling([one]) is None


def _held_out() -> list[ScoredRanking]:
    """Right on two of three strong ones, on one of two slight ones; one labeler is new."""
    rows = [(3, "a", 0, 1.0), (3, "a", 1, 1.0), (3, "b", 1, -1.0), (1, "a", 0, 1.0), (1, "c", 1, -1.0)]
    return [
        ScoredRanking(i, [1, 2], [score, 0.0], labeler, iteration, level, [1, 2], ["x y", "z"])
        for i, (level, labeler, iteration, score) in enumerate(rows)
    ]


def _means(slices: dict[str, Any]) -> dict[str, float]:
    return {name: found["mean"] for name, found in slices.items()}


def test_accuracy_by_strength_labeler_and_round_and_on_labelers_never_trained_on() -> None:
    found = card(_held_out(), [], {"a", "b"})
    assert _means(found["by_strength"]) == {"slightly": 0.5, "significantly": pytest.approx(2 / 3)}
    assert _means(found["by_labeler"]) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert _means(found["by_iteration"]) == {"0": 1.0, "1": pytest.approx(1 / 3)}
    assert found["new_labelers"]["mean"] == 0.0 and found["new_labelers"]["num_pairs"] == 1
    assert found["ceiling"] is None and found["scaling"] is None
    json.dumps(found)


def test_a_card_of_nothing_is_null_and_not_an_error() -> None:
    found = card([], [], set())
    assert found["accuracy"] is None and found["calibration"] is None and found["shortcuts"]["length"] is None
    assert set(headline(found).values()) == {None, 0}


def test_the_place_of_an_edited_text_is_no_bias() -> None:
    edited = [replace(r, ranks=[2, 1], edited=True, prompt_id=i) for i, r in enumerate(_held_out() * 20)]
    assert card(edited, [], set())["shortcuts"]["position"] is None
    told = card([replace(r, edited=False) for r in edited], [], set())["shortcuts"]["position"]
    assert told["label_rate"] == 0.0 and told["flagged"]


def test_a_run_writes_its_card_with_agreement_and_what_more_labels_would_buy(llama_path: Path, tmp_path: Path) -> None:
    rows = ranking_rows(60, num_held_out=15)
    rows += [r | {"ranking_id": r["ranking_id"] + 1000, "labeler": "second"} for r in rows[:30]]
    rows += [r | {"ranking_id": r["ranking_id"] + 2000, "adjudicated": True, "ranks": [4, 3, 2, 1]} for r in rows[:5]]
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, rows)
    config = reward_config(llama_path, "chat", num_epochs=1, scaling_shares=(0.25, 0.5))
    reward.run(tmp_path, config)
    found, metrics = json.loads((tmp_path / "report.json").read_text()), result(tmp_path)["metrics"]
    assert "report.json" in result(tmp_path)["outputs"]
    assert found["ceiling"]["agreement"]["mean"] == 1.0 and metrics["ceiling"] == 1.0  # the reviewer isn't asked
    assert set(found["by_labeler"]) == {"labeler-0", "labeler-1", "labeler-2", "second"}
    assert (
        found["scaling"]["sizes"][2]
        == metrics["num_train"]
        > found["scaling"]["sizes"][1]
        > found["scaling"]["sizes"][0]
    )
    assert found["scaling"]["accuracies"][2] == pytest.approx(metrics["accuracy"])
    assert metrics["points_per_doubling"] == pytest.approx(100 * found["scaling"]["per_doubling"])
    sizes = {line["num_train"] for line in metric_lines(tmp_path, "scaling")}
    assert sizes == set(found["scaling"]["sizes"][:2])
    assert len(found["calibration"]["bins"]) == 10 and metrics["brier"] == found["calibration"]["brier"]


def test_models_of_the_scaling_curve_change_no_byte_of_the_result(llama_path: Path, tmp_path: Path) -> None:
    models = []
    for shares in ((), (0.5,)):
        folder = tmp_path / str(len(shares))
        write_table(folder / "data/rankings.parquet", RANKINGS, ranking_rows(24, 6))
        reward.run(folder, reward_config(llama_path, "chat", num_epochs=1, scaling_shares=shares))
        models.append((folder / "model/model.safetensors").read_bytes())
    assert models[0] == models[1]
