"""What the loop of PPO hands to its formulas: whole iterations, unwhitened returns, the reward model's own values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from rlhf.learning import actors, grpo, ppo, reward_model
from rlhf.learning.configs import EngineConfig, OptimizerConfig, PPOConfig
from rlhf.learning.policy import load_policy, save_policy
from rlhf.learning.ppo import Targets
from rlhf.learning.rollouts import Measured, Rollouts
from rlhf.learning.text import Encoded, right_pad
from tests.learning.oracles import ppo as oracle
from tests.learning.rankings import CPU, metric_lines, new_reward_model, prompts_folder, text_config
from tests.learning.test_grpo import grpo_config
from tests.learning.test_ppo import ppo_config

LENGTHS = [3, 1, 5]
SCORES = torch.tensor([1.5, -2.0, 0.25], dtype=torch.float64)


@pytest.fixture
def reward_path(tmp_path: Path, llama_path: Path) -> Path:
    return new_reward_model(tmp_path / "reward", llama_path)


def an_iteration(padding: int = 0) -> tuple[Rollouts, Measured]:
    """Three rollouts, padded by this many more columns."""
    batch = right_pad([Encoded(i, [1, 2], list(range(10 + i, 10 + i + n))) for i, n in enumerate(LENGTHS)], 0)
    mask = batch.completion_mask
    generator = torch.Generator().manual_seed(4)

    def drawn() -> Tensor:
        numbers = torch.randn(mask.shape, generator=generator, dtype=torch.float64)
        return pad(numbers.masked_fill(~mask, 0.0), (0, padding))

    measured = Measured(drawn(), drawn().abs(), drawn(), drawn(), drawn())
    wide = replace(
        batch,
        completion_ids=pad(batch.completion_ids, (0, padding), value=9),
        completion_mask=pad(mask, (0, padding)),
    )
    return Rollouts(wide, torch.tensor([True, False, True]), measured.log_probabilities.sum(1) + 0.1), measured


def configured(**values: Any) -> PPOConfig:
    return PPOConfig(model="m", reward_model="r", sft_model="s", gamma=0.9, gae_lambda=0.8, **values)


@pytest.mark.parametrize("whiten_rewards", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_advantages_are_whitened_over_all_tokens_of_the_iteration_and_returns_never(
    whiten_rewards: bool, padding: int
) -> None:
    rollouts, measured = an_iteration(padding)
    rewards, targets = ppo._aim(rollouts, measured, SCORES, 0.3, configured(whiten_rewards=whiten_rewards))
    rows = [
        [tensor[i, :n].tolist() for i, n in enumerate(LENGTHS)]
        for tensor in (measured.log_probabilities, measured.reference_log_probabilities, measured.values)
    ]
    of_rows = [oracle.rewards(SCORES[i].item(), rows[0][i], rows[1][i], 0.3) for i in range(3)]
    mask = rollouts.batch.completion_mask
    assert rewards[mask].tolist() == pytest.approx(sum(of_rows, []))
    if whiten_rewards:
        flat = iter(oracle.whiten(sum(of_rows, []), shift_mean=False))
        of_rows = [[next(flat) for _ in range(n)] for n in LENGTHS]
    found = [oracle.gae(of_rows[i], rows[2][i], 0.9, 0.8) for i in range(3)]
    advantages = oracle.whiten(sum((gains for gains, _ in found), []), shift_mean=True)
    assert targets.advantages[mask].tolist() == pytest.approx(advantages)
    assert targets.returns[mask].tolist() == pytest.approx(sum((aims for _, aims in found), []))
    assert torch.equal(targets.old_values, measured.values)
    assert torch.equal(targets.old_log_probabilities, measured.log_probabilities)


def test_more_padding_changes_no_metric() -> None:
    found = []
    for padding in (0, 7):
        rollouts, measured = an_iteration(padding)
        rewards, targets = ppo._aim(rollouts, measured, SCORES, 0.3, configured())
        assert isinstance(targets, Targets)
        found.append(ppo._metrics(rollouts, measured, SCORES, rewards, targets))
    assert found[0] == pytest.approx(found[1])
    mask = rollouts.batch.completion_mask
    assert found[1]["entropy"] == pytest.approx(measured.entropies[mask].mean().item())
    kl = (measured.log_probabilities - measured.reference_log_probabilities).sum().item() / 3
    kl_sft = (measured.log_probabilities - measured.sft_log_probabilities).sum().item() / 3
    assert found[1]["kl_sft"] == pytest.approx(kl_sft)
    assert found[1]["kl"] == pytest.approx(kl)  # nats per completion: the sum over its tokens
    assert found[1]["sampler_gap"] == pytest.approx(0.1)


def test_values_start_as_the_reward_model_and_share_nothing_with_it_or_the_policy(
    llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    networks = actors.load(tmp_path, ppo_config(llama_path, reward_path, "chat"), CPU)
    batch = right_pad([Encoded(0, [5, 6, 7], [8, 9, 10]), Encoded(1, [5], [12, 13])], 0)
    trained = reward_model.load_trained(str(reward_path), CPU)
    with torch.no_grad():
        values = reward_model.completion_values(networks.value, batch)
        for row, encoded in enumerate(((5, 6, 7, 8, 9), (5, 12))):
            start = len(encoded) - int(batch.completion_mask[row].sum())
            for place in range(int(batch.completion_mask[row].sum())):
                so_far = right_pad([Encoded(0, [5], list(encoded[1 : start + place + 1]))], 0)
                score = trained.normalised(reward_model.last_token_scores(trained, so_far))
                assert values[row, place].item() == pytest.approx(score.item(), abs=1e-5)
    of_value = {p.data_ptr() for p in networks.value.network.parameters()}
    others = [networks.policy.model, networks.reference, networks.sft]
    others += [model.network for model in networks.rewards.models.values()]
    assert not any(p.data_ptr() in of_value for model in others for p in model.parameters())
    own = {p.data_ptr() for p in networks.policy.model.parameters()}
    assert not any(p.data_ptr() in own or p.requires_grad for m in others[1:] for p in m.parameters())


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_every_forward_of_a_run_takes_the_temperature(
    kind: str, llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    """Sampler, old, reference and update: any other pair of temperatures than equal ones shows in a number."""
    folder = prompts_folder(tmp_path)
    sharp = {"temperature": 0.3, "num_iterations": 1}
    if kind == "ppo":
        ppo.run(folder, ppo_config(wide(llama_path, tmp_path / "wide"), reward_path, "chat", **sharp))
    else:
        grpo.run(folder, grpo_config(wide(llama_path, tmp_path / "wide"), reward_path, num_epochs=2, **sharp))
    line = metric_lines(folder)[0]
    assert (line["first_ratio"], line["kl"]) == (1.0, 0.0)
    assert line["sampler_gap"] < 1e-3 and line["entropy"] < 4  # ln 320 is 5.8, and nearly reached at temperature 1


def wide(path: Path, folder: Path) -> Path:
    """The same model with larger logits, so that a temperature matters."""
    policy = load_policy(str(path), CPU)
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.mul_(20)  # tied: the output layer too
    save_policy(policy, folder)
    return folder


def test_the_value_coefficient_scales_the_gradient_of_the_value_model_alone(
    llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    lines = []
    for coefficient in (0.1, 0.3):
        folder = prompts_folder(tmp_path / str(coefficient))
        once = {"num_iterations": 1, "num_epochs": 1, "minibatch_size": 16, "micro_batch_size": 16}
        ppo.run(folder, ppo_config(llama_path, reward_path, "chat", value_coefficient=coefficient, **once))
        lines.append(metric_lines(folder)[0])
    assert lines[1]["value_gradient_norm"] == pytest.approx(3 * lines[0]["value_gradient_norm"], rel=1e-4)
    for name in ("gradient_norm", "value_loss", "policy_loss"):
        assert lines[1][name] == lines[0][name]


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_answers_that_never_end_get_the_fixed_score_in_a_run(
    kind: str, llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    folder = prompts_folder(tmp_path)
    changes = {"text": text_config("chat", 2), "missing_eos_score": -7.0, "num_iterations": 1}
    if kind == "ppo":
        ppo.run(folder, ppo_config(llama_path, reward_path, "chat", **changes))
    else:
        grpo.run(folder, grpo_config(llama_path, reward_path, **changes))
    line = metric_lines(folder)[0]
    assert line["eos_rate"] == 0 and line["score"] == line["reward"] == -7.0


def test_learning_to_end_raises_the_score_and_the_held_out_one_alike(
    llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    """Two reward models that agree must not look like over-optimisation because of a rule that only one is under."""
    folder = prompts_folder(tmp_path)
    changes = {"held_out_reward_model": str(reward_path), "missing_eos_score": -7.0, "num_iterations": 1}
    changes |= {"rollouts_per_iteration": 64, "text": text_config("chat", 40)}  # a token in 320 ends an answer
    ppo.run(folder, ppo_config(llama_path, reward_path, "chat", **changes))
    line = metric_lines(folder)[0]
    assert 0 < line["eos_rate"] < 1 and line["score"] < 0
    assert line["held_out_score"] == pytest.approx(line["score"], abs=1e-5)


def test_rates_of_policy_and_value_fall_to_zero_along_a_line(
    llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    folder = prompts_folder(tmp_path)
    optimizer = OptimizerConfig(learning_rate=1e-3, schedule="linear", warmup_share=0.0, final_share=0.0)
    engine = EngineConfig(checkpoint_every=0)
    ppo.run(folder, ppo_config(llama_path, reward_path, "chat", optimizer=optimizer, engine=engine))
    lines = metric_lines(folder)  # two iterations of four steps
    assert [line["learning_rate"] for line in lines] == pytest.approx([1e-3, 1e-3 * 3 / 7])
