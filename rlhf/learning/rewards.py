"""What completions are worth: reward models, verifiers, a judge and penalties put together, behind one `score`.

    score = reward models (one, their mean, minimum or lower bound, or Llama 2's piecewise helpful / safe)
            + verifier_weight [the visible answer is right] + judge_weight x mark - length_penalty x tokens

PPO, GRPO and RLOO take it as it is. Scores of reward models are normalised; Llama 2's combination works on raw ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf.learning import distributed, llm_judge, reward_model, tables, verifiers
from rlhf.learning.advantages import whiten
from rlhf.learning.configs import ConfigError, RewardsConfig
from rlhf.learning.endpoint import Endpoint
from rlhf.learning.llm_judge import Judge
from rlhf.learning.reward_model import NonFiniteScore, RewardModel
from rlhf.learning.rollouts import take
from rlhf.learning.text import Batch, Encoded, decode, right_pad
from rlhf.learning.vocabulary import require_same_tokens


@dataclass(frozen=True)
class Target:
    """What a prompt asks for beyond preference."""

    answer: str  # of a verifier
    safety: bool


@dataclass(frozen=True)
class Rewards:
    """Everything that `score` needs."""

    config: RewardsConfig
    tokenizer: PreTrainedTokenizerBase  # the policy's, which wrote the completions
    models: Mapping[str, RewardModel]  # by path
    safety_model: RewardModel | None = None
    targets: Mapping[int, Target] = field(default_factory=dict)  # by prompt id
    judge: Judge | None = None


def load(
    config: RewardsConfig,
    reward_model_path: str | None,
    policy_path: str,
    tokenizer: PreTrainedTokenizerBase,
    targets: Path,
    device: torch.device,
) -> Rewards:
    """Load every model and target.

    Raises:
        ModelError: a path that holds no reward model.
        OtherTokens: a reward model with another tokenizer than the policy's.
        TableError: a target that can't be used, named with row and field.
        ConfigError: decoding drops `thinking_end`, so that every answer would count as hidden.
    """
    _require_visible_end(config.thinking_end, tokenizer)
    paths = [*([reward_model_path] if reward_model_path is not None else []), *config.models]
    models = {path: _load_model(path, policy_path, tokenizer, device) for path in paths}
    safety = config.safety_model
    return Rewards(
        config=config,
        tokenizer=tokenizer,
        models=models,
        safety_model=None if safety is None else _load_model(safety, policy_path, tokenizer, device),
        targets=_read_targets(targets, config),
        judge=None if config.judge_url is None else _judge(config, config.judge_url),
    )


def _require_visible_end(thinking_end: str | None, tokenizer: PreTrainedTokenizerBase) -> None:
    if thinking_end is None:
        return
    ids = tokenizer(thinking_end, add_special_tokens=False)["input_ids"]
    if thinking_end not in decode(tokenizer, ids):
        raise ConfigError(
            f"rewards.thinking_end: found {thinking_end!r}, which is a special token of {tokenizer.name_or_path} and "
            "not in the text of its completions, expected a text that decoding keeps"
        )


def _judge(config: RewardsConfig, url: str) -> Judge:
    endpoint = Endpoint(url, config.judge_model, os.environ.get("OPENAI_API_KEY", ""))
    return Judge(endpoint, config.judge_question)


def models(rewards: Rewards) -> list[RewardModel]:
    """Every reward model that is asked."""
    return [*rewards.models.values(), *([] if rewards.safety_model is None else [rewards.safety_model])]


def require_targets(rewards: Rewards, prompt_ids: Sequence[int]) -> None:
    """Raise TableError naming a prompt that a verifier has no answer for."""
    missing = [prompt_id for prompt_id in prompt_ids if prompt_id not in rewards.targets]
    if rewards.config.verifier != "none" and missing:
        raise tables.TableError(
            f"data/targets.parquet: found no row for {len(missing)} prompts, the first is {missing[0]}, expected an "
            f"answer for each since rewards.verifier is {rewards.config.verifier}"
        )


@torch.no_grad()
def score(rewards: Rewards, batch: Batch, partition: Sequence[Sequence[int]]) -> Tensor:
    """The worth of B completions, (B,) float32.

    batch: completions, with the prompt's id as row id. partition: rows of each forward, every row once; it changes the
    result by rounding alone.

    Raises:
        NonFiniteScore: a reward model gave none; no step has been taken on it.
    """
    config = rewards.config
    texts: list[str] = []
    if config.verifier != "none" or config.thinking_end is not None or rewards.judge is not None:
        texts = [verifiers.visible(decode(rewards.tokenizer, ids), config.thinking_end) for ids in _completions(batch)]
    read = batch if config.thinking_end is None else _visible_batch(rewards, batch, texts)
    found = torch.zeros(len(batch.row_ids), device=batch.lengths.device)
    if rewards.models:
        found = _model_scores(rewards, read, partition)
    if config.verifier != "none":
        answers = [rewards.targets[prompt_id].answer for prompt_id in batch.row_ids]
        right = [_is_right(config.verifier, *row) for row in zip(batch.row_ids, texts, answers, strict=True)]
        found = found + config.verifier_weight * torch.tensor(right, dtype=found.dtype, device=found.device)
    if rewards.judge is not None:
        judge, asked = rewards.judge, (batch.row_ids, _prompts(rewards, batch), texts)
        marks = distributed.from_main(lambda: llm_judge.scores(judge, *asked))
        found = found + config.judge_weight * torch.tensor(marks, dtype=found.dtype, device=found.device)
    if config.length_penalty:
        found = found - config.length_penalty * batch.completion_mask.sum(1)
    return found


def _is_right(verifier: str, prompt_id: int, completion: str, answer: str) -> bool:
    try:
        return verifiers.is_right(verifier, completion, answer)
    except verifiers.SlowPattern as error:
        raise verifiers.SlowPattern(f"data/targets.parquet: prompt {prompt_id}, field answer: {error}") from error


def _model_scores(rewards: Rewards, batch: Batch, partition: Sequence[Sequence[int]]) -> Tensor:
    config = rewards.config
    if rewards.safety_model is not None:
        helpful = torch.cat([_raw(m, name, batch, partition) for name, m in rewards.models.items()], 1)  # (B, H)
        safe = _raw(rewards.safety_model, config.safety_model or "", batch, partition).mean(1)
        targets = [rewards.targets.get(prompt_id) for prompt_id in batch.row_ids]
        tagged = torch.tensor([target is not None and target.safety for target in targets], device=safe.device)
        return piecewise(combine(helpful, config.combine, config.deviations), safe, tagged, config.safety_threshold)
    normalised = [model.normalised(_raw(model, name, batch, partition)) for name, model in rewards.models.items()]
    return combine(torch.cat(normalised, 1), config.combine, config.deviations)


def combine(scores: Tensor, how: str, deviations: float) -> Tensor:
    """One score of several. scores: (B, H). `lower_bound`: mean less `deviations` (biased) standard deviations over H,
    which pays nothing for what the models disagree on (Coste et al. 2024, 2310.02743). Returns (B,)."""
    if how == "min":
        return scores.amin(1)
    if how == "lower_bound":
        return scores.mean(1) - deviations * scores.std(1, correction=0)
    assert how == "mean", how
    return scores.mean(1)


def piecewise(helpful: Tensor, safe: Tensor, tagged: Tensor, threshold: float) -> Tensor:
    """WHITEN(LOGIT(R_c)), R_c = R_safe where tagged or R_safe < threshold, else R_help (Llama 2, section 3.2.3).

    helpful, safe: raw scores, (B,), whose sigma are the probabilities R; logit takes them back. tagged: (B,) bool.
    Returns (B,) with mean 0 and variance 1 over the batch.
    """
    chosen = torch.where(tagged | (torch.sigmoid(safe) < threshold), safe, helpful)
    return whiten(chosen, torch.ones_like(tagged), shift_mean=True)


def _raw(model: RewardModel, name: str, batch: Batch, partition: Sequence[Sequence[int]]) -> Tensor:
    """Raw scores (B, H) of one model's heads."""
    found = torch.zeros(len(batch.row_ids), model.num_heads, device=batch.lengths.device)
    mine = distributed.share(partition)
    for rows, _ in mine:
        found[list(rows)] = reward_model.head_scores(model, take(batch, rows))
    distributed.merge([rows for rows, counts in mine if counts], found)
    if not found.isfinite().all():
        bad = [batch.row_ids[row] for row in (~found.isfinite().all(1)).nonzero()[:, 0].tolist()]
        raise NonFiniteScore(
            f"{name}: found scores that aren't finite for completions of prompts {sorted(set(bad))[:10]}, "
            "expected finite ones"
        )
    return found


def _completions(batch: Batch) -> list[list[int]]:
    counts = batch.completion_mask.sum(1).tolist()
    return [ids[:count] for ids, count in zip(batch.completion_ids.tolist(), counts, strict=True)]


def _prompts(rewards: Rewards, batch: Batch) -> list[str]:
    lengths = batch.prompt_lengths.tolist()
    return [decode(rewards.tokenizer, ids[:n]) for ids, n in zip(batch.input_ids.tolist(), lengths, strict=True)]


def _visible_batch(rewards: Rewards, batch: Batch, texts: Sequence[str]) -> Batch:
    """The same prompts with the visible part of their completions, ended where the completion was."""
    end = rewards.tokenizer.eos_token_id
    sequences = []
    for row, (ids, text) in enumerate(zip(_completions(batch), texts, strict=True)):
        shown = list(rewards.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        shown += ids[-1:] if ids and ids[-1] == end else []
        prompt_ids = batch.input_ids[row, : int(batch.prompt_lengths[row])].tolist()
        sequences.append(Encoded(batch.row_ids[row], prompt_ids, shown))
    return right_pad(sequences, int(rewards.tokenizer.pad_token_id), batch.lengths.device)


def _load_model(path: str, policy_path: str, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> RewardModel:
    model = reward_model.load_trained(path, device)
    require_same_tokens(policy_path, tokenizer, path, model.tokenizer)
    model.network.requires_grad_(False)
    return model


def _read_targets(path: Path, config: RewardsConfig) -> dict[int, Target]:
    needed = config.verifier != "none"
    if not needed and not path.is_file():
        return {}
    targets: dict[int, Target] = {}
    for row in tables.read_table(path, tables.TARGETS):
        expected = verifiers.problem(config.verifier, row["answer"]) if needed else None
        if expected is not None:
            raise tables.TableError(
                f"{path}: prompt {row['prompt_id']}, field answer: found {row['answer']!r}, expected {expected}"
            )
        if row["prompt_id"] in targets:
            raise tables.TableError(f"{path}: prompt {row['prompt_id']}: found two rows, expected one")
        targets[row["prompt_id"]] = Target(row["answer"], row["safety"])
    return targets
