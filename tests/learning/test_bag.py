"""What best-of-N keeps beyond the best of one round: curves, temperatures, the bag, cached scores, and the control."""

from __future__ import annotations

import itertools
import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf.learning import best_of_n, reward_model, scoring
from rlhf.learning.bag import merge, next_round
from rlhf.learning.configs import BestOfNConfig, ConfigError, SamplingConfig, ServerConfig, from_dict
from rlhf.learning.stats.expected_best import expected_best, expected_median, kl_upper_bound
from rlhf.learning.tables import BAG, BEST_OF_N_ROWS, read_table, write_table
from tests.learning.model_server import ModelServer
from tests.learning.rankings import CPU, metric_lines, new_reward_model, prompts_folder, result, weights
from tests.learning.test_best_of_n import best_of_n_config, taught_to_end


@pytest.fixture(scope="module")
def talking_llama(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_to_end(tmp_path_factory.mktemp("talking"), llama_path, "chat")


def _run(folder: Path, config: BestOfNConfig, bag: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    prompts_folder(folder)
    if bag is not None:
        write_table(folder / "data/bag.parquet", BAG, bag)
    best_of_n.run(folder, config)
    return read_table(folder / "rows.parquet", BEST_OF_N_ROWS)


def _row(prompt_id: int, completion: str, score: float, number: int = 0, scorer: str = "s") -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"Question {prompt_id}"}]
    names = {"prompt_id": prompt_id, "prompt": prompt, "completion": completion, "num_tokens": 3}
    return names | {"score": score, "scorer": scorer, "round": number}


def test_the_median_curve_is_the_mean_over_all_subsets() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 7))
    curve = expected_median(scores)
    for n in range(1, 8):
        subsets = [np.median(row[list(s)]) for row in scores for s in itertools.combinations(range(7), n)]
        assert curve[n] == pytest.approx(np.mean(subsets), rel=1e-9)
    assert curve[1] == pytest.approx(expected_best(scores)[1])


def test_the_bound_is_the_divergence_of_an_enumerable_distribution_without_repeats() -> None:
    """Best-of-n of m equally likely answers has the CDF (k/m)^n; its divergence from 1/m nears the bound from below."""
    for n in (2, 4, 16):
        places = np.arange(10_001) / 10_000
        chances = np.diff(places**n)
        chances = chances[chances > 0]
        divergence = float((chances * np.log(chances * 10_000)).sum())
        assert divergence <= kl_upper_bound(n) and divergence == pytest.approx(kl_upper_bound(n), rel=0.01)
    few = np.diff((np.arange(4) / 3) ** 16)
    assert (few * np.log(few * 3)).sum() < 0.7 * kl_upper_bound(16)  # answers repeat: far below
    assert kl_upper_bound(1) == 0 and kl_upper_bound(4) == pytest.approx(math.log(4) - 0.75)


def test_a_bag_keeps_the_best_distinct_answers_of_all_rounds() -> None:
    old = [_row(1, "good", 2.0), _row(1, "fair", 1.0), _row(2, "only then", 0.5)]
    new = [_row(1, " good\n", 2.0, 1), _row(1, "better", 3.0, 1), _row(1, "bad", -1.0, 1), _row(3, "first", 0.0, 1)]
    kept = merge(old, new, 2)
    assert [(row["prompt_id"], row["completion"], row["round"]) for row in kept] == [
        (1, "better", 1),
        (1, "good", 0),  # said twice, and kept once, as it was said first
        (2, "only then", 0),
        (3, "first", 1),
    ]
    assert next_round(kept) == 2 and next_round([]) == 0
    assert [row["completion"] for row in merge(old, new, 1)] == ["better", "only then", "first"]


def test_the_bag_brings_answers_of_earlier_rounds_into_the_training_and_hands_the_best_on(
    talking_llama: Path, tmp_path: Path
) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    config = best_of_n_config(talking_llama, reward_path, "chat", bag_size=1)
    scorer = scoring.scorer_of(reward_model.load(str(reward_path), CPU))
    earlier = [_row(2, "A most splendid answer.", 99.0, 4, scorer), _row(77, "Of another prompt.", 0.0, 4, scorer)]
    _run(tmp_path / "with", config, earlier)
    bag = read_table(tmp_path / "with/bag.parquet", BAG)
    by_prompt = {row["prompt_id"]: row for row in bag}
    assert len(bag) == len(by_prompt)
    assert by_prompt[2]["completion"] == "A most splendid answer." and 77 in by_prompt
    assert {row["round"] for row in bag} == {4, 5}
    metrics = result(tmp_path / "with")["metrics"]
    assert metrics["num_from_earlier_rounds"] == 2 and metrics["num_chosen"] == len(bag)
    assert "bag.parquet" in result(tmp_path / "with")["outputs"]
    _run(tmp_path / "without", replace(config, bag_size=0), earlier)
    assert weights(tmp_path / "with/model") != weights(tmp_path / "without/model")
    assert not (tmp_path / "without/bag.parquet").exists()
    first = (weights(tmp_path / "with/model"), result(tmp_path / "with"))
    (tmp_path / "with/result.json").unlink()
    best_of_n.run(tmp_path / "with", config)
    assert (weights(tmp_path / "with/model"), result(tmp_path / "with")) == first


def test_what_another_reward_model_scored_is_scored_again(talking_llama: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    config = best_of_n_config(talking_llama, reward_path, "chat", bag_size=1)
    _run(tmp_path / "run", config, [_row(2, "A most splendid answer.", 1e6, 0, "another")])
    bag = read_table(tmp_path / "run/bag.parquet", BAG)
    assert len({row["scorer"] for row in bag}) == 1 and max(row["score"] for row in bag) < 1e5


def test_the_same_answer_is_scored_once_and_not_again_after_a_restart(talking_llama: Path, tmp_path: Path) -> None:
    config = best_of_n_config(talking_llama, new_reward_model(tmp_path / "reward", talking_llama), "chat")
    config = replace(config, sampling=SamplingConfig(num_samples=6, batch_size=16, temperature=0.0))
    folder = tmp_path / "run"
    with pytest.raises(best_of_n.NothingChosen):  # greedy: all answers of a prompt are one
        _run(folder, config)
    (logged,) = metric_lines(folder, "scored")
    assert logged["num_scored"] == 10 and logged["num_reused"] == 50
    assert len({row["score"] for row in read_table(folder / "rows.parquet", BEST_OF_N_ROWS)}) == 10
    lines = (folder / "journal.jsonl").read_text().splitlines()
    forged = json.loads(lines[0]) | {"value": 7.5}
    (folder / "journal.jsonl").write_text("\n".join([json.dumps(forged), *lines[1:], '{"key": "half']))
    (folder / "rows.parquet").unlink()
    with pytest.raises(best_of_n.NothingChosen):
        best_of_n.run(folder, config)
    assert len((folder / "journal.jsonl").read_text().splitlines()) == 10
    assert 7.5 in {row["score"] for row in read_table(folder / "rows.parquet", BEST_OF_N_ROWS)}  # not asked again
    assert len(metric_lines(folder, "score")) == 1


def test_a_score_belongs_to_its_reward_model(talking_llama: Path, tmp_path: Path) -> None:
    one = reward_model.load(str(new_reward_model(tmp_path / "a", talking_llama)), CPU)
    other = reward_model.load(str(new_reward_model(tmp_path / "b", talking_llama, bias=0.75)), CPU)
    assert scoring.scorer_of(one) == scoring.scorer_of(reward_model.load(str(tmp_path / "a"), CPU))
    assert scoring.scorer_of(one) != scoring.scorer_of(other)


def test_every_temperature_has_its_samples_its_noise_and_its_curves(talking_llama: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    config = best_of_n_config(talking_llama, reward_path, "chat")
    alone = _run(tmp_path / "alone", config)
    rows = _run(tmp_path / "both", replace(config, temperatures=(1.0, 1.0 + 1e-9, 0.5)))
    assert [(row["prompt_id"], row["sample_index"]) for row in rows] == [
        (i, j) for i in range(2, 12) for j in range(12)
    ]
    at = [[row["completion"] for row in rows if row["sample_index"] // 4 == place] for place in range(3)]
    assert at[0] == [row["completion"] for row in alone]
    assert at[0] != at[1]  # nearly the same temperature, other noise
    metrics = result(tmp_path / "both")["metrics"]
    assert set(metrics["sweep"]) == {"1.0", "1.000000001", "0.5"}
    alone_curve = result(tmp_path / "alone")["metrics"]["curve"]
    assert metrics["sweep"]["1.0"]["best"] == pytest.approx(alone_curve, abs=1e-5)
    best = str(metrics["best_temperature"])
    assert metrics["curve"]["4"] == max(found["best"]["4"] for found in metrics["sweep"].values())
    assert metrics["median_curve"] == metrics["sweep"][best]["median"]
    assert metrics["kl_upper_bound"] == pytest.approx(math.log(4) - 0.75)
    assert sum(row["best"] for row in rows) <= 10


def test_the_control_trains_on_any_answer_of_the_same_prompts(talking_llama: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    config = best_of_n_config(talking_llama, reward_path, "chat")
    chosen = {}
    for select in ("best", "random"):
        rows = _run(tmp_path / select, replace(config, select=select))  # type: ignore[arg-type]
        chosen[select] = {row["prompt_id"]: row["sample_index"] for row in rows if row["best"]}
        assert all(row["finished"] for row in rows if row["best"])
    assert chosen["best"].keys() == chosen["random"].keys() and chosen["best"] != chosen["random"]
    best, control = (result(tmp_path / select)["metrics"] for select in ("best", "random"))
    assert best["chosen_score"] > control["chosen_score"]
    assert best["random_score"] == pytest.approx(control["random_score"])
    assert weights(tmp_path / "best/model") != weights(tmp_path / "random/model")


def test_any_completion_that_ended_is_picked_as_often_as_another() -> None:
    finished = [True, False, True, True]
    picked = [best_of_n.pick_any(0, prompt_id, [1.0, 2.0, 3.0, 4.0], finished) for prompt_id in range(3000)]
    counts = np.bincount([index for index in picked if index is not None], minlength=4)
    assert counts[1] == 0 and counts.sum() == 3000 and (abs(counts[[0, 2, 3]] - 1000) < 110).all()  # over 4 deviations
    assert best_of_n.pick_any(0, 1, [1.0, 1.0], [True, True]) is None


def test_samples_of_a_server_are_scored_and_trained_on_as_our_own(talking_llama: Path, tmp_path: Path) -> None:
    server = ModelServer(str(talking_llama))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        config = best_of_n_config(talking_llama, new_reward_model(tmp_path / "reward", talking_llama), "chat")
        served_by = ServerConfig(base_url=server.url, model="tiny")
        config = replace(config, sampling=SamplingConfig(num_samples=3, backend="openai", server=served_by))
        rows = _run(tmp_path / "run", replace(config, temperatures=(1.0, 1.5)))
    finally:
        server.shutdown()
        server.server_close()
    assert len(server.asked) == len(rows) == 60 and len({body["seed"] for body in server.asked}) == 60
    assert all(math.isfinite(row["score"]) for row in rows) and any(row["best"] for row in rows)
    assert metric_lines(tmp_path / "run")[-1]["loss"] > 0
    assert len((tmp_path / "run/journal.jsonl").read_text().splitlines()) == 60 + json_scores(tmp_path / "run")


def json_scores(folder: Path) -> int:
    """Entries of the journal that are scores."""
    entries = [json.loads(line)["value"] for line in (folder / "journal.jsonl").read_text().splitlines()]
    return sum(isinstance(value, float) for value in entries)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperatures": [0.0, 1.0]}, "temperatures: expected more than 0, found 0.0"),
        ({"temperatures": [1.0, 1.0]}, "temperatures: expected each once"),
        ({"bag_size": -1}, "bag_size: expected 0 or more"),
        ({"bag_size": 1, "select": "random"}, "bag_size: expected 0 where select is random, found 1"),
        ({"select": "worst"}, "best_of_n.select: expected one of"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict("best_of_n", {"model": "m", "reward_model": "r"} | values)
