"""PPO's options: each test fails when its option is switched off."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.learning import actors, history, ppo
from rlhf.learning.alarms import Alarm, Metrics
from rlhf.learning.checkpoint import Stopped
from rlhf.learning.configs import ConfigError, EngineConfig, InputError
from rlhf.learning.configs.presets import PRESETS, preset
from rlhf.learning.corpus import read_pieces
from rlhf.learning.mixing import Mixture, add_gradients, read_mixture
from rlhf.learning.policy import load_policy
from rlhf.learning.sft import mean_loss
from rlhf.learning.tables import CORPUS, DEMONSTRATIONS, write_table
from rlhf.learning.text import encode
from tests.learning.conftest import demonstration_rows
from tests.learning.rankings import CPU, metric_lines, new_reward_model, prompts_folder, result, text_config
from tests.learning.test_ppo import ppo_config


@pytest.fixture
def reward_path(tmp_path: Path, llama_path: Path) -> Path:
    return new_reward_model(tmp_path / "reward", llama_path)


def trained(folder: Path, llama_path: Path, reward_path: Path, **changes: object) -> Path:
    """A run of two iterations."""
    prompts_folder(folder)
    write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(16))
    ppo.run(folder, ppo_config(llama_path, reward_path, "chat", engine=EngineConfig(checkpoint_every=0), **changes))
    return folder


def test_mixed_in_demonstrations_are_learned(tmp_path: Path, llama_path: Path, reward_path: Path) -> None:
    losses = {}
    for name, coefficient in (("with", 1.0), ("without", 0.0)):
        folder = trained(
            tmp_path / name, llama_path, reward_path, ptx_coefficient=coefficient, ptx_batch_size=8, ptx_loss_on="all"
        )
        policy = load_policy(str(folder / "model"), CPU)
        text = text_config("chat")
        rows = [encode(policy.tokenizer, 0, r["prompt"], r["completion"], text) for r in demonstration_rows(8)]
        losses[name] = mean_loss(policy, rows, 8)
    assert losses["with"] < losses["without"] - 0.1
    assert "ptx_loss" in metric_lines(tmp_path / "with")[0] and "ptx_loss" not in metric_lines(tmp_path / "without")[0]


def test_a_corpus_is_mixed_in_instead_of_demonstrations_and_learned(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    """The texts get likelier where they lie in the folder, and not by the demonstrations beside them."""
    losses, told = {}, {}
    texts = [{"text_id": i, "text": "the heron stands in the salt wind of the mill. " * 3} for i in range(3)]
    for name in ("corpus", "demonstrations", "off"):
        write_table(tmp_path / "texts/data/corpus.parquet", CORPUS, texts)
        if name != "demonstrations":
            write_table(tmp_path / name / "data/corpus.parquet", CORPUS, texts)
        coefficient = 0.0 if name == "off" else 1.0
        folder = trained(tmp_path / name, llama_path, reward_path, ptx_coefficient=coefficient, ptx_batch_size=8)
        policy = load_policy(str(folder / "model"), CPU)
        pieces = read_pieces(tmp_path / "texts", policy.tokenizer, text_config("chat"), "ptx_coefficient")
        losses[name] = mean_loss(policy, pieces, 4)
        told[name] = metric_lines(folder)[0].get("ptx_loss")
    assert losses["corpus"] < min(losses["demonstrations"], losses["off"]) - 0.1, losses
    start = load_policy(str(llama_path), CPU)
    mixture = read_mixture(
        tmp_path / "corpus", start, ppo_config(llama_path, reward_path, "chat", ptx_coefficient=1.0, ptx_batch_size=8)
    )
    assert mixture is not None and mixture.sequences == pieces
    assert told["off"] is None and told["corpus"] != told["demonstrations"]


def test_a_corpus_needs_no_demonstrations_and_all_its_tokens_count(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    write_table(tmp_path / "data/corpus.parquet", CORPUS, [{"text_id": 7, "text": "tea and bread"}])
    policy = load_policy(str(llama_path), CPU)
    config = ppo_config(llama_path, reward_path, "chat", ptx_coefficient=0.5)
    mixture = read_mixture(tmp_path, policy, config)
    assert mixture is not None and [(s.row_id, len(s.prompt_ids)) for s in mixture.sequences] == [(7, 1)]
    with pytest.raises(
        ConfigError, match="ptx_loss_on: expected all where data/corpus.parquet is mixed in, found comp"
    ):
        read_mixture(tmp_path, policy, replace(config, ptx_loss_on="completion"))
    write_table(tmp_path / "data/corpus.parquet", CORPUS, [])
    with pytest.raises(InputError, match="found no text, expected some for ptx_coefficient"):
        read_mixture(tmp_path, policy, config)


def test_the_mixed_in_loss_counts_by_its_coefficient_and_is_told_unscaled(tmp_path: Path, llama_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    rows = [
        encode(policy.tokenizer, 0, r["prompt"], r["completion"], text_config("chat")) for r in demonstration_rows(8)
    ]
    found = []
    for coefficient in (1.0, 27.8):
        policy.model.zero_grad()
        mixture = Mixture(rows, coefficient, batch_size=8, micro_batch_size=3)
        loss = add_gradients(mixture, policy, 0, EngineConfig())
        assert loss == pytest.approx(mean_loss(policy, rows, 8), rel=1e-5)
        found.append(torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[1], 27.8 * found[0], rtol=1e-3, atol=1e-4)


def test_the_saved_policy_is_the_running_mean_where_that_is_asked_for(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    plain = trained(tmp_path / "plain", llama_path, reward_path, num_iterations=1)
    mean = trained(tmp_path / "mean", llama_path, reward_path, num_iterations=1, ema_decay=0.75)
    start = load_file(llama_path / "model.safetensors")
    last, average = (load_file(folder / "model/model.safetensors") for folder in (plain, mean))
    for name, weight in start.items():
        torch.testing.assert_close(average[name], 0.75 * weight + 0.25 * last[name], atol=1e-6, rtol=1e-5)
    assert any(not torch.equal(average[name], last[name]) for name in start)


def test_a_run_ends_before_the_update_that_its_kl_budget_forbids(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    folder = trained(tmp_path / "run", llama_path, reward_path, num_iterations=5, max_kl=1e-6)
    lines = metric_lines(folder)
    assert [line["num_updates"] > 0 for line in lines] == [True, False]  # at the first iteration the KL is 0
    assert lines[-1]["stopped_early"] == 1 and lines[-1]["total_steps"] == 2
    assert result(folder)["metrics"]["kl"] > 1e-6


def test_a_stop_in_the_last_iteration_of_a_spent_budget_is_not_forgotten(
    tmp_path: Path, llama_path: Path, reward_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while the budget is found spent: the next start has nothing more to do than save."""

    def stop_at_the_second(lines: Sequence[Metrics]) -> list[Alarm]:
        if len(lines) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return []

    changes = {"num_iterations": 5, "max_kl": 1e-6}
    whole = trained(tmp_path / "whole", llama_path, reward_path, **changes)
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped at step 2 of 2"):
        patch.setattr(history, "check", stop_at_the_second)
        trained(tmp_path / "stopped", llama_path, reward_path, **changes)
    stopped = trained(tmp_path / "stopped", llama_path, reward_path, **changes)
    assert [line["step"] for line in metric_lines(stopped)] == [1, 2]
    assert result(stopped)["outputs"] == result(whole)["outputs"]


def test_updates_of_an_iteration_end_where_they_leave_the_rollouts(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    lines = metric_lines(trained(tmp_path / "run", llama_path, reward_path, max_update_kl=1e-9))
    assert [line["num_updates"] for line in lines] == [2, 2]  # of four; the first one's ratio is still 1


def test_the_kl_coefficient_follows_its_target(tmp_path: Path, llama_path: Path, reward_path: Path) -> None:
    lines = metric_lines(
        trained(tmp_path / "run", llama_path, reward_path, num_iterations=3, kl_target=100.0, kl_horizon=100)
    )
    found = [line["kl_coefficient"] for line in lines]
    assert found[1] == pytest.approx(found[0] * (1 - 0.2 * 16 / 100)) and found[2] < found[1]


def test_dropout_left_on_raises_one_alarm_at_once(
    tmp_path: Path, gpt2_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = actors.load

    def with_dropout(*arguments: object) -> actors.Networks:
        networks = load(*arguments)  # type: ignore[arg-type]
        networks.policy.model.train()
        return networks

    monkeypatch.setattr(actors, "load", with_dropout)
    folder = prompts_folder(tmp_path / "run")
    ppo.run(folder, ppo_config(gpt2_path, new_reward_model(tmp_path / "reward", gpt2_path), "plain"))
    alarms = [line["alarm"] for line in metric_lines(folder, "alarm")]
    assert alarms.count("first ratio is not 1") == 1
    assert metric_lines(folder, "alarm")[0]["step"] == 1


def test_another_reward_model_scores_what_nothing_is_trained_on(
    tmp_path: Path, llama_path: Path, reward_path: Path
) -> None:
    other = new_reward_model(tmp_path / "other", llama_path, bias=3.5)
    lines = metric_lines(
        trained(tmp_path / "run", llama_path, reward_path, held_out_reward_model=str(other), missing_eos_score=None)
    )
    assert lines[0]["held_out_score"] == pytest.approx(lines[0]["score"] + 3.0, abs=1e-4)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_a_valid_configuration_that_values_can_change(name: str) -> None:
    paths = {"model": "m", "reward_model": "r", "sft_model": "s"}
    found = preset(name, paths | {"optimizer": {"learning_rate": 0.5}, "num_iterations": 3})
    assert (found.model, found.optimizer.learning_rate, found.num_iterations) == ("m", 0.5, 3)
    assert found.optimizer.schedule == PRESETS[name]["optimizer"]["schedule"]


def test_instructgpt_mixes_averages_and_looks_back_to_its_sft_model() -> None:
    found = preset("instructgpt", {"model": "m", "reward_model": "r", "sft_model": "s"})
    assert (found.ptx_coefficient, found.ema_decay, found.kl_reference) == (27.8, 0.992, "sft")
    assert found.num_iterations * found.rollouts_per_iteration == 256_000


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match="expected one of instructgpt.*found 'gpt5'"):
        preset("gpt5", {})
