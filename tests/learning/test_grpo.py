"""GRPO and RLOO begin exactly at their reference, learn what is rewarded, and resume to the same bytes."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.learning import grpo, reward_model
from rlhf.learning.actors import read_training_prompts
from rlhf.learning.configs import (
    ConfigError,
    EngineConfig,
    GRPOConfig,
    LoRAConfig,
    OptimizerConfig,
    RewardsConfig,
    TextConfig,
    from_dict,
)
from rlhf.learning.policy import load_policy
from rlhf.learning.reward_model import NonFiniteScore
from rlhf.learning.rollouts import prompts_of_iteration, roll_out
from rlhf.learning.tables import TARGETS, TableError, write_table
from tests.learning.rankings import (
    CPU,
    metric_lines,
    new_reward_model,
    prompts_folder,
    result,
    start,
    text_config,
    weights,
)


def grpo_config(path: Path, reward_path: Path | None, prompt_format: str = "chat", **changes: Any) -> GRPOConfig:
    config = GRPOConfig(
        model=str(path),
        reward_model=None if reward_path is None else str(reward_path),
        text=text_config(prompt_format, max_completion_tokens=10),
        optimizer=OptimizerConfig(learning_rate=2e-3, schedule="constant", warmup_share=0.0),
        engine=EngineConfig(checkpoint_every=1),
        rewards=RewardsConfig() if reward_path else RewardsConfig(verifier="regex"),
        num_iterations=2,
        prompts_per_iteration=4,
        group_size=4,
        minibatch_size=16,
        micro_batch_size=8,
        missing_eos_score=None,
    )
    return replace(config, **changes)


def _verified(folder: Path, pattern: str) -> Path:
    """Prompts whose answers have to match the pattern."""
    rows = [{"prompt_id": i, "answer": pattern, "safety": False} for i in range(12)]
    write_table(prompts_folder(folder) / "data/targets.parquet", TARGETS, rows)
    return folder


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_every_architecture_starts_at_ratio_one_and_kl_zero(
    algorithm: str, any_model: tuple[Path, str], tmp_path: Path
) -> None:
    path, prompt_format = any_model
    folder, reward_path = prompts_folder(tmp_path), new_reward_model(tmp_path / "reward", path)
    grpo.run(folder, grpo_config(path, reward_path, prompt_format, algorithm=algorithm, minibatch_size=8))
    first, second = metric_lines(folder)
    assert (first["first_ratio"], second["first_ratio"], first["kl"]) == (1.0, 1.0, 0.0)
    assert second["kl"] != 0.0 and first["score_spread"] > 0 and first["sampler_gap"] < 1e-3
    assert result(folder)["metrics"]["score"] == second["score"]
    AutoModelForCausalLM.from_pretrained(folder / "model")


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_it_learns_what_a_verifier_rewards_without_a_reward_model(
    algorithm: str, llama_path: Path, tmp_path: Path
) -> None:
    """An answer is right when it holds the letter t: a policy of random weights seldom writes it."""
    folder = _verified(tmp_path, "t")
    optimizer = OptimizerConfig(learning_rate=8e-3, schedule="constant", warmup_share=0.0)
    changes = {"num_iterations": 25, "prompts_per_iteration": 8, "minibatch_size": 32, "kl_coefficient": 0.0}
    grpo.run(folder, grpo_config(llama_path, None, algorithm=algorithm, optimizer=optimizer, **changes))
    scores = [line["score"] for line in metric_lines(folder)]
    assert sum(scores[:3]) / 3 < 0.6 and sum(scores[-3:]) / 3 > 0.85


def test_the_groups_of_a_prompt_stand_together_and_differ(llama_path: Path, tmp_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    prompts = read_training_prompts(prompts_folder(tmp_path), policy, text_config("chat"))
    drawn = prompts_of_iteration(len(prompts), 4, 0, 2)  # the third iteration: into the second pass
    assert len({number for number, _ in drawn}) == 2
    rollouts = roll_out(policy, prompts, drawn, 1.0, 10, 0, 32, group_size=3)
    expected = [prompts[index].prompt_id for _, index in drawn for _ in range(3)]
    assert rollouts.batch.row_ids == expected
    for row, prompt_id in enumerate(expected):
        ids = next(p.ids for p in prompts if p.prompt_id == prompt_id)
        assert rollouts.batch.input_ids[row, : len(ids)].tolist() == ids
    groups = rollouts.batch.completion_ids.reshape(4, 3, -1)
    assert all(not torch.equal(group[0], group[1]) for group in groups)


def test_the_update_forward_serves_as_the_old_one_where_an_iteration_is_one_step(
    llama_path: Path, tmp_path: Path
) -> None:
    """The same numbers as when the old log-probabilities are asked for apart, as two passes over the rollouts do."""
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    lines = []
    for epochs in (1, 2):
        folder = prompts_folder(tmp_path / str(epochs))
        grpo.run(folder, grpo_config(llama_path, reward_path, num_epochs=epochs, num_iterations=1))
        lines.append(metric_lines(folder)[0])
    for name in ("kl", "entropy", "sampler_gap", "score", "first_ratio"):
        assert lines[0][name] == pytest.approx(lines[1][name], abs=1e-6)
    assert lines[0]["entropy"] > 0 and lines[0]["ratio"] == 1.0 and lines[1]["ratio"] != 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"engine": EngineConfig(precision="bfloat16")},
        {"engine": EngineConfig(activation_checkpointing=True)},
        {"lora": LoRAConfig()},
    ],
    ids=["plain", "bfloat16", "recomputed", "lora"],
)
def test_the_forward_behind_a_reward_serves_the_update_where_an_iteration_is_one_step(
    changes: dict[str, Any], llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLOO's rewards hold the KL: the policy is asked once, with gradients, and learns what it learned with two
    forwards, to the bit; not where that many rows are too many for one forward."""
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    ask, asked = grpo.completion_log_probabilities, []

    def counted(*arguments: Any) -> torch.Tensor:
        asked.append(1)
        return ask(*arguments)

    def trained(name: str, micro_batch_size: int) -> tuple[list[dict[str, Any]], int]:
        folder = prompts_folder(tmp_path / name)
        asked.clear()
        config = grpo_config(llama_path, reward_path, algorithm="rloo", micro_batch_size=micro_batch_size)
        grpo.run(folder, replace(config, **changes))
        names = ("reward", "kl", "policy_loss", "gradient_norm")
        return [{name: line[name] for name in names} for line in metric_lines(folder)], len(asked)

    monkeypatch.setattr(grpo, "completion_log_probabilities", counted)
    once, num_once = trained("once", 16)
    _, num_of_small = trained("small", 8)
    monkeypatch.setattr(grpo, "keeps_graphs", lambda *_: False)
    twice, num_twice = trained("twice", 16)
    # The reference in two parts of like length an iteration, and the policy again where its graph was not kept.
    assert (num_once, num_twice, num_of_small) == (4, 8, 8)
    assert once == twice and once[1]["kl"] != 0


@pytest.mark.parametrize("epochs", [1, 2])
def test_dropout_left_on_and_cut_prompts_raise_their_alarms_once(
    epochs: int, gpt2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one pass the update's own forward is the old one, so that dropout shows against the sampler alone."""
    load = grpo._load

    def with_dropout(*arguments: Any) -> grpo.Networks:
        networks = load(*arguments)
        networks.policy.model.train()
        return networks

    monkeypatch.setattr(grpo, "_load", with_dropout)
    folder = prompts_folder(tmp_path / "run")
    text = TextConfig("plain", max_prompt_tokens=12, max_completion_tokens=10)
    reward_path = new_reward_model(tmp_path / "reward", gpt2_path)
    grpo.run(folder, grpo_config(gpt2_path, reward_path, "plain", num_epochs=epochs, text=text))
    alarms = [line["alarm"] for line in metric_lines(folder, "alarm")]
    assert alarms.count("prompts are truncated") == 1
    assert alarms.count("first ratio is not 1") == (1 if epochs == 2 else 0)
    assert result(folder)["metrics"]["num_alarms"] == len(alarms)


@pytest.mark.parametrize("placement", ["loss", "reward"])
def test_a_large_kl_coefficient_keeps_the_policy_at_its_reference(
    placement: str, llama_path: Path, tmp_path: Path
) -> None:
    optimizer = OptimizerConfig(learning_rate=8e-3, schedule="constant", warmup_share=0.0)
    kl = []
    for coefficient in (0.0, 1.0):
        folder = _verified(tmp_path / str(coefficient), "t")
        changes = {"kl_coefficient": coefficient, "kl_placement": placement, "num_iterations": 12}
        grpo.run(folder, grpo_config(llama_path, None, optimizer=optimizer, **changes))
        kl.append(metric_lines(folder)[-1]["kl"])
    assert kl[1] < 0.5 * kl[0]


def test_advantages_are_scaled_by_the_group_or_not(llama_path: Path, tmp_path: Path) -> None:
    """Rewards a hundred times as large change nothing where they are scaled."""
    small, large = (new_reward_model(tmp_path / str(i), llama_path) for i in range(2))
    model = reward_model.load(str(large), CPU)
    reward_model.save(replace(model, gain=100 * model.gain), large)
    norms = {}
    for scaled in (True, False):
        for path in (small, large):
            folder = prompts_folder(tmp_path / f"{scaled}-{path.name}")
            grpo.run(folder, grpo_config(llama_path, path, scale_advantages=scaled, kl_coefficient=0.0))
            norms[scaled, path] = metric_lines(folder)[0]["gradient_norm"]
    assert norms[True, large] == pytest.approx(norms[True, small], rel=0.05)
    assert norms[False, large] == pytest.approx(100 * norms[False, small], rel=1e-3)


def test_micro_batches_change_no_gradient(llama_path: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    for algorithm, average in (("grpo", "token"), ("grpo", "completion"), ("rloo", "token")):
        norms = []
        for size in (16, 4):
            folder = prompts_folder(tmp_path / f"{algorithm}-{average}-{size}")
            changes = {"algorithm": algorithm, "loss_average": average, "micro_batch_size": size, "num_iterations": 1}
            grpo.run(folder, grpo_config(llama_path, reward_path, **changes))
            norms.append(metric_lines(folder)[0]["gradient_norm"])
        assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_killed_and_started_again_it_ends_with_the_same_bytes(algorithm: str, llama_path: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    config = grpo_config(llama_path, reward_path, algorithm=algorithm, num_iterations=9, minibatch_size=8)
    whole = prompts_folder(tmp_path / "whole")
    grpo.run(whole, config)
    folder = prompts_folder(tmp_path / "killed")
    kill_after = random.randrange(2, 6)
    child = start("grpo", folder, config)
    while len(metric_lines(folder)) < kill_after:
        assert child.poll() is None, child.stderr and child.stderr.read()
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not (folder / "result.json").exists()
    assert start("grpo", folder, config).wait() == 0
    assert weights(folder / "model") == weights(whole / "model")
    ends = [result(f)["metrics"] for f in (folder, whole)]
    assert [{k: v for k, v in end.items() if k != "tokens_per_second"} for end in ends][0] == {
        k: v for k, v in ends[1].items() if k != "tokens_per_second"
    }


def test_bad_input_is_named_before_any_step(llama_path: Path, tmp_path: Path) -> None:
    folder = _verified(tmp_path / "pattern", "(")
    with pytest.raises(TableError, match=r"prompt 0, field answer: found '\(', expected a regular expression"):
        grpo.run(folder, grpo_config(llama_path, None))
    rows = [{"prompt_id": i, "answer": "t", "safety": False} for i in range(5)]
    write_table(folder / "data/targets.parquet", TARGETS, rows)
    with pytest.raises(TableError, match="found no row for 7 prompts, the first is 5"):
        grpo.run(folder, grpo_config(llama_path, None))
    reward_path = new_reward_model(tmp_path / "reward", llama_path, bias=float("nan"))
    model = reward_model.load(str(reward_path), CPU)
    with torch.no_grad():
        model.network.score.weight.fill_(float("inf"))
    reward_model.save(model, reward_path)
    with pytest.raises(NonFiniteScore, match="found scores that aren't finite for completions of prompts"):
        grpo.run(folder, grpo_config(llama_path, reward_path))
    assert metric_lines(folder) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reward_model": None}, "reward_model: expected a path, or a verifier or a judge in rewards, found none"),
        ({"group_size": 1}, "group_size: expected at least 2"),
        (
            {"minibatch_size": 100, "micro_batch_size": 50},
            "minibatch_size: expected a divisor of .* x group_size = 512",
        ),
        ({"kl_estimator": "k1"}, "kl_estimator: expected k2 or k3 in the loss, found k1"),
        ({"algorithm": "rloo", "kl_placement": "loss"}, "kl_placement: expected reward for rloo"),
        ({"algorithm": "ppo"}, "grpo.algorithm: expected one of"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict("grpo", {"model": "somewhere", "reward_model": "there"} | values)
