"""Each part of a composed reward changes the score as it says, and a score that is no number is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.learning import reward_model, rewards, verifiers
from rlhf.learning.configs import ConfigError, RewardsConfig, from_dict
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.reward_model import NonFiniteScore
from rlhf.learning.rewards import Rewards, combine, piecewise
from rlhf.learning.tables import TARGETS, TableError, write_table
from rlhf.learning.text import Batch, encode, right_pad
from rlhf.learning.verifiers import SlowPattern
from rlhf.learning.vocabulary import OtherTokens
from tests.learning.conftest import question
from tests.learning.rankings import CPU, new_reward_model, text_config

TEXTS = ["It is 4.", "I think 4 </think> It is 5.", "four", ""]
PARTITION = [[2, 0], [3, 1]]


def _batch(policy: Policy, texts: list[str] = TEXTS) -> Batch:
    encoded = [encode(policy.tokenizer, i, question(i), text, text_config("chat")) for i, text in enumerate(texts)]
    return right_pad(encoded, policy.pad_id)


def _load(path: Path, reward_path: Path | None, targets: Path, **values: Any) -> tuple[Policy, Rewards]:
    policy, config = load_policy(str(path), CPU), RewardsConfig(**values)
    reward = None if reward_path is None else str(reward_path)
    return policy, rewards.load(config, reward, str(path), policy.tokenizer, targets, CPU)


def _targets(path: Path, answer: str = "4", safety: tuple[int, ...] = ()) -> Path:
    rows = [{"prompt_id": i, "answer": answer, "safety": i in safety} for i in range(4)]
    write_table(path / "targets.parquet", TARGETS, rows)
    return path / "targets.parquet"


def _head(path: Path, source: Path, direction: int) -> Path:
    """A reward model whose head reads one coordinate."""
    model = reward_model.load(str(source), CPU)
    with torch.no_grad():
        model.network.score.weight.zero_()[0, direction] = 4.0
    reward_model.save(replace(model, gain=0.5, bias=1.0), path)
    return path


def test_by_default_the_score_is_the_reward_models_to_the_bit(llama_path: Path, tmp_path: Path) -> None:
    path = new_reward_model(tmp_path / "reward", llama_path)
    policy, found = _load(llama_path, path, tmp_path / "none.parquet")
    batch, model = _batch(policy), reward_model.load(str(path), CPU)
    with torch.no_grad():
        expected = model.normalised(reward_model.last_token_scores(model, batch))
    assert torch.equal(rewards.score(found, batch, [[0, 1, 2, 3]]), expected)
    torch.testing.assert_close(rewards.score(found, batch, PARTITION), expected, atol=1e-5, rtol=0)


def test_several_models_count_by_mean_minimum_or_lower_bound(llama_path: Path, tmp_path: Path) -> None:
    paths = [_head(tmp_path / str(i), llama_path, i) for i in range(3)]
    scores = {}
    for how in ("mean", "min", "lower_bound"):
        policy, found = _load(
            llama_path, paths[0], tmp_path, models=(str(paths[1]), str(paths[2])), combine=how, deviations=2.0
        )
        scores[how] = rewards.score(found, _batch(policy), PARTITION)
    each = []
    for path in paths:
        policy, found = _load(llama_path, path, tmp_path)
        each.append(rewards.score(found, _batch(policy), PARTITION))
    stacked = torch.stack(each, 1)
    torch.testing.assert_close(scores["mean"], stacked.mean(1))
    torch.testing.assert_close(scores["min"], stacked.min(1).values)
    torch.testing.assert_close(scores["lower_bound"], stacked.mean(1) - 2 * stacked.std(1, correction=0))


def test_the_lower_bound_pays_nothing_for_what_heads_disagree_on() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [4.0, 1.0, -2.0]])
    assert combine(scores, "mean", 1.0).tolist() == [1.0, 1.0]
    assert combine(scores, "min", 1.0).tolist() == [1.0, -2.0]
    assert combine(scores, "lower_bound", 1.0).tolist() == pytest.approx([1.0, 1 - 6**0.5])


def test_piecewise_by_hand() -> None:
    """sigma(-2) = .12 is unsafe and counts by safety; sigma(-1) = .27 is safe and counts by helpfulness."""
    helpful, safe = torch.tensor([5.0, 5.0, 1.0, 3.0]), torch.tensor([-2.0, -1.0, 4.0, 4.0])
    tagged = torch.tensor([False, False, True, False])
    chosen = torch.tensor([-2.0, 5.0, 4.0, 3.0])
    expected = (chosen - 2.5) / chosen.var(correction=0).sqrt()
    torch.testing.assert_close(piecewise(helpful, safe, tagged, 0.15), expected)
    untagged = piecewise(helpful, safe, torch.zeros(4, dtype=torch.bool), 0.15)
    assert untagged.argmax() == 1 and untagged.argmin() == 0 and untagged[2] != expected[2]


def test_the_piecewise_reward_reads_raw_scores_and_the_tags_of_prompts(llama_path: Path, tmp_path: Path) -> None:
    helpful, safe = _head(tmp_path / "helpful", llama_path, 0), _head(tmp_path / "safe", llama_path, 1)
    targets = _targets(tmp_path, safety=(2,))
    policy, found = _load(llama_path, helpful, targets, safety_model=str(safe), safety_threshold=0.4)
    batch, raw = _batch(policy), []
    for path in (helpful, safe):
        model = reward_model.load(str(path), CPU)
        with torch.no_grad():
            raw.append(reward_model.last_token_scores(model, batch))
    tagged = torch.tensor([False, False, True, False])
    expected = piecewise(*raw, tagged, 0.4)
    torch.testing.assert_close(rewards.score(found, batch, PARTITION), expected, atol=1e-4, rtol=1e-4)
    assert expected.mean().abs() < 1e-5 and expected.var(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_a_right_answer_adds_its_weight(llama_path: Path, tmp_path: Path) -> None:
    values = {"verifier": "number", "verifier_weight": 2.5}
    policy, found = _load(llama_path, None, _targets(tmp_path), **values)
    assert rewards.score(found, _batch(policy), PARTITION).tolist() == [2.5, 0.0, 0.0, 0.0]
    path = new_reward_model(tmp_path / "reward", llama_path)
    batch = _batch(policy)
    alone, both = (
        rewards.score(_load(llama_path, path, _targets(tmp_path), **v)[1], batch, PARTITION) for v in ({}, values)
    )
    torch.testing.assert_close(both - alone, torch.tensor([2.5, 0.0, 0.0, 0.0]))


def test_the_thinking_part_is_hidden_from_verifier_and_reward_model(llama_path: Path, tmp_path: Path) -> None:
    targets = _targets(tmp_path, answer="5")
    policy, found = _load(llama_path, None, targets, verifier="number", thinking_end="</think>")
    texts = ["4 </think> It is 5.", "5 </think> It is 4.", "5", "</think> It is 5."]
    assert rewards.score(found, _batch(policy, texts), PARTITION).tolist() == [1.0, 0.0, 0.0, 1.0]
    path = new_reward_model(tmp_path / "reward", llama_path)
    policy, found = _load(llama_path, path, tmp_path, thinking_end="</think>")
    same = [encode(policy.tokenizer, 7, question(1), t, text_config("chat")) for t in (texts[0], texts[3], "It is 5.")]
    scores = rewards.score(found, right_pad(same, policy.pad_id), [[0, 1, 2]])
    assert scores[0] == pytest.approx(scores[1].item(), abs=1e-5) and scores[2] != pytest.approx(scores[0].item())


def test_a_token_costs_its_penalty(llama_path: Path, tmp_path: Path) -> None:
    path = new_reward_model(tmp_path / "reward", llama_path)
    policy, found = _load(llama_path, path, tmp_path)
    _, penalised = _load(llama_path, path, tmp_path, length_penalty=0.1)
    batch = _batch(policy)
    cost = rewards.score(found, batch, PARTITION) - rewards.score(penalised, batch, PARTITION)
    torch.testing.assert_close(cost, 0.1 * batch.completion_mask.sum(1), atol=1e-5, rtol=0)


def test_a_score_that_is_no_number_is_named_with_its_model_and_prompts(llama_path: Path, tmp_path: Path) -> None:
    path = new_reward_model(tmp_path / "reward", llama_path)
    policy, found = _load(llama_path, path, tmp_path)
    with torch.no_grad():
        next(iter(found.models.values())).network.score.weight[0, 3] = float("nan")
    with pytest.raises(NonFiniteScore, match=r"reward: found scores that aren't finite .* prompts \[0, 1, 2, 3\]"):
        rewards.score(found, _batch(policy), PARTITION)


def test_a_reward_model_with_other_tokens_is_refused(llama_path: Path, qwen2_path: Path, tmp_path: Path) -> None:
    path = new_reward_model(tmp_path / "reward", qwen2_path)
    with pytest.raises(OtherTokens, match="found another tokenizer"):
        _load(llama_path, path, tmp_path)


def test_targets_that_cannot_be_verified_are_named(llama_path: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="prompt 0, field answer: found 'four', expected a number"):
        _load(llama_path, None, _targets(tmp_path, answer="four"), verifier="number")
    with pytest.raises(TableError, match="expected a Parquet file"):
        _load(llama_path, None, tmp_path / "none.parquet", verifier="number")
    _, found = _load(llama_path, None, _targets(tmp_path), verifier="number")
    with pytest.raises(TableError, match="found no row for 1 prompts, the first is 9"):
        rewards.require_targets(found, [0, 9])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"combine": "median"}, "grpo.rewards.combine: expected one of"),
        ({"models": ["a", ""]}, "rewards.models: expected paths, found an empty one"),
        ({"models": "a"}, "grpo.rewards.models: expected a list"),
        ({"models": ["a", 3]}, r"grpo.rewards.models\[1\]: expected str"),
        ({"length_penalty": -1}, "rewards.length_penalty: expected 0 or more"),
        ({"safety_threshold": 2}, "rewards.safety_threshold: expected 0 to 1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict("grpo", {"model": "somewhere", "reward_model": "there", "rewards": values})


def test_a_slow_pattern_is_named_with_its_prompt(
    llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifiers, "PATTERN_TIMEOUT_S", 0.05)
    policy, found = _load(llama_path, None, _targets(tmp_path, answer="((a|aa)+)+$"), verifier="regex")
    with pytest.raises(SlowPattern, match=r"targets.parquet: prompt 1, field answer: found no result for the regular"):
        rewards.score(found, _batch(policy, ["a", "a" * 22 + "b", "", ""]), PARTITION)


def test_an_end_of_thinking_that_decoding_drops_is_refused(llama_path: Path, tmp_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    policy.tokenizer.add_special_tokens({"additional_special_tokens": ["</think>"]})
    config = RewardsConfig(judge_url="http://x", judge_model="m", thinking_end="</think>")
    with pytest.raises(ConfigError, match="rewards.thinking_end: found '</think>', which is a special token of"):
        rewards.load(config, None, str(llama_path), policy.tokenizer, tmp_path, CPU)
