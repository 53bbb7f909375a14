"""PPO begins exactly at its reference, learns, and ends with the same bytes whoever kills it in between."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf.learning import actors, ppo, reward_model
from rlhf.learning.configs import EngineConfig, OptimizerConfig, PPOConfig, RewardsConfig
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.policy import load_policy
from rlhf.learning.rewards import Rewards, score
from rlhf.learning.rollouts import Rollouts, measure, micro_batches, minibatches, prompts_of_iteration, roll_out, take
from rlhf.learning.sampling import Prompt
from rlhf.learning.tables import PROMPTS, TARGETS, TableError, write_table
from rlhf.learning.text import Encoded, encode_prompt, right_pad
from rlhf.learning.vocabulary import OtherTokens
from tests.learning.conftest import question
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


def ppo_config(path: Path, reward_path: Path, prompt_format: str, **changes: Any) -> PPOConfig:
    config = PPOConfig(
        model=str(path),
        reward_model=str(reward_path),
        sft_model=str(path),
        text=text_config(prompt_format, max_completion_tokens=10),
        optimizer=OptimizerConfig(learning_rate=2e-3, schedule="constant", warmup_share=0.0),
        engine=EngineConfig(checkpoint_every=1),
        value_learning_rate=2e-3,
        num_iterations=2,
        rollouts_per_iteration=16,
        num_epochs=2,
        minibatch_size=8,
        micro_batch_size=4,
        kl_coefficient=0.1,
        missing_eos_score=None,
    )
    return replace(config, **changes)


def rollouts_of(path: Path, prompt_format: str, temperature: float = 1.0) -> tuple[Any, Rollouts]:
    policy = load_policy(str(path), CPU)
    text = text_config(prompt_format)
    prompts = [Prompt(i, encode_prompt(policy.tokenizer, question(i)[:1], text)) for i in range(8)]
    drawn = prompts_of_iteration(8, 12, 0, 0)
    return policy, roll_out(policy, prompts, drawn, temperature, 12, 0, 12)


def test_every_architecture_starts_at_ratio_one_and_kl_zero(any_model: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = any_model
    folder = prompts_folder(tmp_path)
    reward_path = new_reward_model(tmp_path / "reward", path)
    ppo.run(folder, ppo_config(path, reward_path, prompt_format))
    first, second = metric_lines(folder)
    assert first["first_ratio"] == 1.0 and second["first_ratio"] == 1.0
    assert first["kl"] == 0.0 and first["kl_sft"] == 0.0
    assert second["kl"] != 0.0
    assert first["sampler_gap"] < 1e-3
    assert first["reward"] == pytest.approx(first["score"], abs=1e-6)
    assert AutoModelForCausalLM.from_pretrained(folder / "model").config.vocab_size > 0
    assert AutoModelForSequenceClassification.from_pretrained(folder / "value").config.num_labels == 1
    assert result(folder)["metrics"]["score"] == second["score"]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_before_any_update_every_log_probability_is_the_references_to_the_bit(
    any_model: tuple[Path, str], temperature: float
) -> None:
    policy, rollouts = rollouts_of(*any_model, temperature)
    reward = reward_model.load(str(any_model[0]), CPU)
    reference = load_policy(str(any_model[0]), CPU).model
    partition = [part for rows in minibatches(12, 6, 0, 0) for part in micro_batches(rollouts.batch, rows, 3)]
    found = measure(rollouts, partition, policy.model, reference, reference, reward, temperature)
    assert torch.equal(found.log_probabilities, found.reference_log_probabilities)
    for rows in partition:  # with gradients, as the update takes them
        again = completion_log_probabilities(policy.model, take(rollouts.batch, rows), temperature)
        assert again.requires_grad and torch.equal(again.detach(), found.log_probabilities[rows, : again.shape[1]])
    sums = found.log_probabilities.sum(1)
    torch.testing.assert_close(sums, rollouts.sampler_log_probabilities.float(), atol=1e-3, rtol=0)


def test_in_half_precision_too_it_starts_at_ratio_one_and_kl_zero(llama_path: Path, tmp_path: Path) -> None:
    engine = EngineConfig(precision="bfloat16", checkpoint_every=0)
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    folder = prompts_folder(tmp_path / "run")
    ppo.run(folder, ppo_config(llama_path, reward_path, "chat", num_iterations=1, engine=engine))
    line = metric_lines(folder)[0]
    assert (line["first_ratio"], line["kl"], line["kl_sft"]) == (1.0, 0.0, 0.0)
    assert line["sampler_gap"] < 1e-4  # sampled in half precision too; from float32 weights it is near 1e-3


def test_padding_changes_no_log_probability_and_exactly_no_mask(any_model: tuple[Path, str]) -> None:
    policy, rollouts = rollouts_of(*any_model)
    together = completion_log_probabilities(policy.model, rollouts.batch)
    for row in range(4):
        count, prompt = int(rollouts.batch.completion_mask[row].sum()), int(rollouts.batch.prompt_lengths[row])
        ids = rollouts.batch.input_ids[row, : prompt + count].tolist()
        alone = right_pad([Encoded(0, ids[:prompt], ids[prompt:])], policy.pad_id)
        assert alone.completion_mask.sum() == count and not rollouts.batch.completion_mask[row, count:].any()
        found = completion_log_probabilities(policy.model, alone)[0]
        torch.testing.assert_close(found, together[row, :count], atol=1e-4, rtol=0)
        assert not together[row, count:].any()


def test_scores_are_those_of_the_last_real_token_and_come_back_in_row_order(llama_path: Path) -> None:
    policy, rollouts = rollouts_of(llama_path, "chat")
    reward = reward_model.load(str(llama_path), CPU)
    partition = [[3, 0, 7], [1, 2, 11, 10], [4, 5, 6, 8, 9]]
    found = score(Rewards(RewardsConfig(), policy.tokenizer, {"reward": reward}), rollouts.batch, partition)
    for row in range(12):
        ids = rollouts.batch.input_ids[row, : rollouts.batch.lengths[row]].tolist()
        alone = reward_model.score(reward, [Encoded(0, ids[:1], ids[1:])], 1)[0]
        assert found[row].item() == pytest.approx(alone, abs=1e-5)


def test_a_completion_without_end_of_text_gets_the_fixed_score() -> None:
    scores, finished = torch.tensor([3.0, 4.0]), torch.tensor([True, False])
    assert ppo.end_of_text_rule(scores, finished, -1.0).tolist() == [3.0, -1.0]
    assert ppo.end_of_text_rule(scores, finished, None).tolist() == [3.0, 4.0]


def test_prompts_come_in_turn_and_none_twice_in_a_pass() -> None:
    drawn = [pair for iteration in range(5) for pair in prompts_of_iteration(6, 4, 7, iteration)]
    assert [number for number, _ in drawn] == sorted(number for number, _ in drawn)
    for number in range(3):
        assert sorted(index for n, index in drawn if n == number) == list(range(6))
    assert drawn[:6] != [(0, index) for _, index in drawn[6:12]]


def test_every_pass_takes_every_rollout_once_in_an_order_of_its_own() -> None:
    passes = [minibatches(12, 4, 3, epoch) for epoch in range(3)]
    assert all(sorted(sum(rows, [])) == list(range(12)) and len(rows) == 3 for rows in passes)
    assert len({str(rows) for rows in passes}) == 3


def test_a_prompt_drawn_twice_in_one_iteration_is_answered_twice(llama_path: Path) -> None:
    _, rollouts = rollouts_of(llama_path, "chat")  # 12 rollouts of 8 prompts
    ids = {}
    for row, prompt_id in enumerate(rollouts.batch.row_ids):
        ids.setdefault(prompt_id, []).append(rollouts.batch.completion_ids[row].tolist())
    twice = [answers for answers in ids.values() if len(answers) == 2]
    assert len(twice) == 4 and all(one != other for one, other in twice)


def test_micro_batches_of_four_or_eight_learn_the_same(llama_path: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    lines = []
    for size in (4, 8):
        folder = prompts_folder(tmp_path / str(size))
        config = ppo_config(llama_path, reward_path, "chat", micro_batch_size=size, num_iterations=1)
        ppo.run(folder, config)
        lines.append(metric_lines(folder)[0])
    for name in ("score", "policy_loss", "value_loss", "gradient_norm", "value_gradient_norm", "ratio", "entropy"):
        assert lines[0][name] == pytest.approx(lines[1][name], rel=1e-3, abs=1e-4), name


def test_the_policy_learns_what_the_reward_model_likes(llama_path: Path, tmp_path: Path) -> None:
    folder = prompts_folder(tmp_path)
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    config = ppo_config(
        llama_path, reward_path, "chat", num_iterations=25, rollouts_per_iteration=64, minibatch_size=32,
        micro_batch_size=32, kl_coefficient=0.01,
    )  # fmt: skip
    ppo.run(folder, config)
    lines = metric_lines(folder)
    scores = [line["score"] for line in lines]
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.5
    assert lines[-1]["kl"] > 0


def test_a_kl_target_moves_the_coefficient_and_none_keeps_it(llama_path: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    found = {}
    for target in (None, 3.0):
        folder = prompts_folder(tmp_path / str(target))
        ppo.run(folder, ppo_config(llama_path, reward_path, "chat", kl_target=target, kl_horizon=100))
        found[target] = [line["kl_coefficient"] for line in metric_lines(folder)]
    assert found[None] == [0.1, 0.1]
    assert found[3.0] == [0.1, pytest.approx(0.1 * (1 - 0.2 * 16 / 100))]  # KL 0 is far below the target


def test_with_the_sft_policy_as_reference_the_penalty_is_the_kl_to_it(
    llama_path: Path, tmp_path: Path, gpt2_path: Path
) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    first = prompts_folder(tmp_path / "first")
    ppo.run(first, ppo_config(llama_path, reward_path, "chat"))
    folder = prompts_folder(tmp_path / "second")
    config = ppo_config(first / "model", reward_path, "chat", sft_model=str(llama_path), kl_reference="sft")
    ppo.run(folder, config)
    line = metric_lines(folder)[0]
    assert line["kl"] == line["kl_sft"] != 0.0
    assert line["reward"] == pytest.approx(line["score"] - 0.1 * line["kl"], abs=1e-5)
    with pytest.raises(OtherTokens, match="another tokenizer"):
        ppo.run(prompts_folder(tmp_path / "third"), ppo_config(gpt2_path, reward_path, "plain"))


def test_held_out_prompts_are_not_trained_on(llama_path: Path, tmp_path: Path) -> None:
    rows = [{"prompt_id": 1, "prompt": question(1), "split": "held_out"}]
    write_table(tmp_path / "data/prompts.parquet", PROMPTS, rows)
    with pytest.raises(actors.NoPrompts, match="found no prompt of the train split"):
        ppo.run(tmp_path, ppo_config(llama_path, new_reward_model(tmp_path / "reward", llama_path), "chat"))


def test_killed_and_started_again_it_ends_with_the_same_bytes(llama_path: Path, tmp_path: Path) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    config = ppo_config(
        llama_path, reward_path, "chat", num_iterations=9, kl_target=1.0, kl_horizon=100,
        engine=EngineConfig(checkpoint_every=2),
    )  # fmt: skip
    whole = prompts_folder(tmp_path / "whole")
    ppo.run(whole, config)
    folder = prompts_folder(tmp_path / "killed")
    kill_after = random.randrange(1, 7)  # before or behind the first checkpoint; differs from test to test
    child = start("ppo", folder, config)
    while len(metric_lines(folder)) < kill_after:
        assert child.poll() is None, child.stderr and child.stderr.read()
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not (folder / "result.json").exists()
    assert start("ppo", folder, config).wait() == 0
    assert weights(folder / "model") == weights(whole / "model")
    assert weights(folder / "value") == weights(whole / "value")
    timed = {"tokens_per_second", "time"}
    lines = [{k: v for k, v in line.items() if k not in timed} for line in metric_lines(folder)]
    assert lines == [{k: v for k, v in line.items() if k not in timed} for line in metric_lines(whole)]


def test_ppo_takes_composed_rewards(llama_path: Path, tmp_path: Path) -> None:
    """A verifier that everything passes adds its weight to the score; without answers the run doesn't start."""
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    scores = []
    for name, rewards in (("plain", RewardsConfig()), ("verified", RewardsConfig(verifier="regex", verifier_weight=2))):
        folder = prompts_folder(tmp_path / name)
        rows = [{"prompt_id": i, "answer": "^", "safety": False} for i in range(12)]
        write_table(folder / "data/targets.parquet", TARGETS, rows)
        ppo.run(folder, ppo_config(llama_path, reward_path, "chat", num_iterations=1, rewards=rewards))
        scores.append(metric_lines(folder)[0]["score"])
    assert scores[1] == pytest.approx(scores[0] + 2, abs=1e-4)
    with pytest.raises(TableError, match="targets.parquet: expected a Parquet file"):
        verified = RewardsConfig(verifier="regex")
        ppo.run(prompts_folder(tmp_path / "none"), ppo_config(llama_path, reward_path, "chat", rewards=verified))
