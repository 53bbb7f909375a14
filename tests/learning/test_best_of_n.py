"""Best-of-N keeps the best by reward, trains on it, and says what n buys."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from rlhf.learning import best_of_n
from rlhf.learning.configs import BestOfNConfig, ConfigError, EngineConfig, OptimizerConfig, SamplingConfig, SFTConfig
from rlhf.learning.policy import load_policy
from rlhf.learning.selection import NothingHeldOut
from rlhf.learning.sft import mean_loss
from rlhf.learning.sft import run as run_sft
from rlhf.learning.stats.expected_best import expected_best
from rlhf.learning.tables import BEST_OF_N_ROWS, DEMONSTRATIONS, PROMPTS, read_table, write_table
from rlhf.learning.text import Encoded
from tests.learning.conftest import demonstration_rows
from tests.learning.rankings import CPU, metric_lines, new_reward_model, prompts_folder, result, text_config, weights


def best_of_n_config(path: Path, reward_path: Path, prompt_format: str, **changes: Any) -> BestOfNConfig:
    config = BestOfNConfig(
        model=str(path),
        reward_model=str(reward_path),
        text=text_config(prompt_format, max_completion_tokens=32),
        sampling=SamplingConfig(num_samples=4, batch_size=16),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        engine=EngineConfig(checkpoint_every=1),
        batch_size=4,
        micro_batch_size=4,
    )
    return replace(config, **changes)


def taught_to_end(folder: Path, path: Path, prompt_format: str) -> Path:
    """A policy that has learned to end its answers, or there would be nothing to choose."""
    rows = [row | {"completion": "tea."} for row in demonstration_rows(24)]
    write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, rows)
    config = SFTConfig(
        str(path),
        text=text_config(prompt_format),
        optimizer=OptimizerConfig(1e-2),
        num_epochs=10,
        batch_size=12,
        micro_batch_size=12,
    )
    run_sft(folder, config)
    return folder / "model"


@pytest.fixture(scope="module")
def talking_llama(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_to_end(tmp_path_factory.mktemp("talking"), llama_path, "chat")


def test_the_best_is_the_highest_score_of_those_that_ended() -> None:
    assert best_of_n.choose([1.0, 3.0, 2.0], [True, True, True]) == 1
    assert best_of_n.choose([1.0, 3.0, 2.0], [True, False, True]) == 2
    assert best_of_n.choose([1.0, 2.0, 2.0], [True, True, True]) == 1


def test_nothing_is_chosen_where_none_ended_or_all_score_the_same() -> None:
    assert best_of_n.choose([1.0, 3.0], [False, False]) is None
    assert best_of_n.choose([2.0, 2.0], [True, True]) is None


def test_the_curve_is_the_mean_over_all_subsets() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 6))
    curve = expected_best(scores)
    for n in range(1, 7):
        subsets = [row[list(s)].max() for row in scores for s in itertools.combinations(range(6), n)]
        assert curve[n] == pytest.approx(np.mean(subsets), rel=1e-9)


def test_the_curve_of_normal_scores_matches_the_known_expectations() -> None:
    curve = expected_best(np.random.default_rng(0).normal(size=(20_000, 8)))
    known = {1: 0.0, 2: 0.56419, 4: 1.02938, 8: 1.42360}  # expected largest of n standard normal numbers
    assert {n: curve[n] for n in known} == pytest.approx(known, abs=0.02)


def test_the_best_are_kept_and_trained_on(talking_llama: Path, tmp_path: Path) -> None:
    folder = prompts_folder(tmp_path)
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    best_of_n.run(folder, best_of_n_config(talking_llama, reward_path, "chat"))
    rows = read_table(folder / "rows.parquet", BEST_OF_N_ROWS)
    assert len(rows) == 40 and {row["prompt_id"] for row in rows} == set(range(2, 12))  # two are held out
    for prompt_id in range(2, 12):
        mine = [row for row in rows if row["prompt_id"] == prompt_id]
        best = [row for row in mine if row["best"]]
        assert len(best) <= 1
        for row in best:
            assert row["finished"] and row["score"] == max(r["score"] for r in mine if r["finished"])
    metrics = result(folder)["metrics"]
    assert metrics["curve"]["4"] > metrics["curve"]["1"] == pytest.approx(np.mean([row["score"] for row in rows]))
    assert metrics["kl_upper_bound"] == pytest.approx(np.log(4) - 3 / 4)
    assert metrics["num_chosen"] == sum(row["best"] for row in rows) > 0
    assert weights(folder / "model") != weights(talking_llama)
    assert AutoModelForCausalLM.from_pretrained(folder / "model").config.vocab_size > 0


def test_a_second_start_reads_its_samples_and_ends_with_the_same_bytes(talking_llama: Path, tmp_path: Path) -> None:
    config = best_of_n_config(talking_llama, new_reward_model(tmp_path / "reward", talking_llama), "chat")
    folder = prompts_folder(tmp_path / "run")
    best_of_n.run(folder, config)
    first = (weights(folder / "model"), result(folder))
    (folder / "result.json").unlink()
    best_of_n.run(folder, config)
    assert (weights(folder / "model"), result(folder)) == first


def test_what_a_stopped_attempt_logged_of_its_sampling_is_not_counted_twice(
    talking_llama: Path, tmp_path: Path
) -> None:
    folder = prompts_folder(tmp_path / "run")
    (folder / "metrics.jsonl").write_text('{"step": 0, "phase": "sample", "done": 16}\n' * 2)
    best_of_n.run(folder, best_of_n_config(talking_llama, new_reward_model(tmp_path / "reward", talking_llama), "chat"))
    assert [line["done"] for line in metric_lines(folder, "sample")] == [16, 32, 40]


def test_every_architecture_goes_through(any_model: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = any_model
    policy_path = taught_to_end(tmp_path / "sft", path, prompt_format)
    folder = prompts_folder(tmp_path)
    reward_path = new_reward_model(tmp_path / "reward", path)
    best_of_n.run(folder, best_of_n_config(policy_path, reward_path, prompt_format))
    assert metric_lines(folder)[-1]["loss"] > 0 and metric_lines(folder, "sample")[-1]["done"] == 40


def test_a_policy_that_never_ends_is_refused_in_one_sentence(llama_path: Path, tmp_path: Path) -> None:
    config = best_of_n_config(llama_path, new_reward_model(tmp_path / "reward", llama_path), "chat")
    config = replace(config, text=text_config("chat", max_completion_tokens=1))
    with pytest.raises(best_of_n.NothingChosen, match="found no prompt with a completion that ended"):
        best_of_n.run(prompts_folder(tmp_path), config)


def test_the_saved_policy_is_that_of_the_step_that_did_best_on_answers_it_never_saw(
    talking_llama: Path, tmp_path: Path
) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    steep = OptimizerConfig(learning_rate=3e-2, schedule="constant", warmup_share=0.0)  # overfits within some steps
    config = best_of_n_config(
        talking_llama, reward_path, "chat", optimizer=steep, num_epochs=6, held_out_share=0.3, evaluate_every=1
    )
    chosen, last = (prompts_folder(tmp_path / name, 24) for name in ("chosen", "last"))
    best_of_n.run(chosen, config)
    best_of_n.run(last, replace(config, evaluate_every=0))
    lines = metric_lines(chosen, "evaluate")
    losses = [line["held_out_loss"] for line in lines]
    metrics = result(chosen)["metrics"]
    assert metrics["best_step"] == losses.index(min(losses)) + 1 < len(lines)  # it did overfit
    assert metrics["num_held_out"] == round(0.3 * metrics["num_chosen"])
    assert len(lines) == 6 * -(-(metrics["num_chosen"] - metrics["num_held_out"]) // 4)
    policy = load_policy(str(chosen / "model"), CPU)
    prompts = read_table(chosen / "data/prompts.parquet", PROMPTS)
    rows = read_table(chosen / "rows.parquet", BEST_OF_N_ROWS)
    _, held_out = best_of_n.split(best_of_n._chosen(policy, prompts, rows, [], config), config)
    assert mean_loss(policy, held_out, 4) == pytest.approx(min(losses), abs=1e-5)
    assert metric_lines(last, "evaluate") == [] and "best_step" not in result(last)["metrics"]
    assert len(metric_lines(last)) == 6 * -(-metrics["num_chosen"] // 4)  # trained on all


def test_a_prompt_is_held_out_with_all_of_its_answers_and_in_every_round(tmp_path: Path) -> None:
    config = BestOfNConfig("model", "reward", evaluate_every=2, held_out_share=0.25)
    both = [Encoded(prompt_id, [1], [2]) for prompt_id in range(40) for _ in range(2)]
    training, held_out = best_of_n.split(both, config)
    ids = {one.row_id for one in held_out}
    assert len(ids) == 10 and len(held_out) == 20 and ids.isdisjoint(one.row_id for one in training)
    fewer = [one for one in both if one.row_id in ids or one.row_id < 20]
    assert {one.row_id for one in best_of_n.split(fewer, config)[1]} <= ids
    assert best_of_n.split(both, replace(config, evaluate_every=0)) == (both, [])
    assert best_of_n.split(both[:2], config) == (both[:2], [])  # one prompt: nothing is left to choose by


def test_one_chosen_prompt_leaves_none_to_choose_a_step_by(talking_llama: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", talking_llama)
    config = best_of_n_config(talking_llama, reward_path, "chat", evaluate_every=1)
    config = replace(config, sampling=SamplingConfig(num_samples=8, batch_size=16))
    with pytest.raises(NothingHeldOut, match="evaluate_every: found 1 and no held-out row"):
        best_of_n.run(prompts_folder(tmp_path, 3), config)
    with pytest.raises(ConfigError, match="held_out_share: expected 0 < x < 1, found 1"):
        replace(config, held_out_share=1)
