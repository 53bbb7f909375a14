"""What each stage needs at its worst moment, from its configuration and its longest rows, before a weight is loaded.

The rules are in `rlhf.learning.memory`; here stands which models a stage holds at once and how large its largest
micro-batch is: at most that of the longest rows, which may meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf.learning import memory, tables
from rlhf.learning.completion_sets import completion_set
from rlhf.learning.configs import (
    BestOfNConfig,
    Config,
    DPOConfig,
    EstimateConfig,
    GRPOConfig,
    InputError,
    JudgeConfig,
    PPOConfig,
    RewardConfig,
    RewardsConfig,
    SampleConfig,
    SFTConfig,
    TextConfig,
)
from rlhf.learning.corpus import CORPUS_FILE
from rlhf.learning.memory import Estimate, Shape
from rlhf.learning.policy import load_tokenizer
from rlhf.learning.text import TextError, encode_completion, prompt_tokens

_CUT_SETS = 4
Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Size:
    """Tokens of a micro-batch, those of its completions, and of its longest prompt."""

    tokens: int = 0
    completions: int = 0
    prompt: int = 0


def require(folder: Path, config: Config) -> dict[str, Any]:
    """The line `estimate` of a run; nothing where a model or a row can't be read: reading it in earnest says why.

    Raises:
        NotEnoughMemory: the run would need more than there is. InputError: no such tokenizer or table.
    """
    assert not isinstance(config, EstimateConfig), "an estimate of win rates loads no model"
    if isinstance(config, SampleConfig) and config.sampling.backend != "local":
        return {}  # a server holds the weights
    if isinstance(config, JudgeConfig) and config.reward_model is None:
        return {}
    name = config.reward_model if isinstance(config, JudgeConfig) else config.model
    assert name is not None
    tokenizer = load_tokenizer(name)
    try:
        estimate = _estimate(folder, config, tokenizer)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        return {}
    return memory.require_fits(_with_adapter(estimate, config), config.engine)


def _estimate(folder: Path, config: Config, tokenizer: PreTrainedTokenizerBase) -> Estimate:
    data = folder / "data"
    match config:
        case SFTConfig():
            rows = tables.read_table(data / "demonstrations.parquet", tables.DEMONSTRATIONS)
            size = _longest(tokenizer, config.text, _answers(rows), config.micro_batch_size)
            if config.mix_share:  # pieces of texts are as long as they may be
                longest = config.text.max_prompt_tokens + config.text.max_completion_tokens
                size = Size(config.micro_batch_size * longest)
            whole = config.loss_on == "all" or config.mix_share > 0
            of = memory.shape(config.model)
            return _training(of, size, whole, copies=memory.weights(of) if config.evaluate_every else 0)
        case RewardConfig():
            return _reward(config, _of_rankings(data, tokenizer, config))
        case DPOConfig():
            of, size = memory.shape(config.model), _of_rankings(data, tokenizer, config)
            copies = memory.weights(of, of) if config.evaluate_every else memory.weights(of)  # one is the reference
            return _training(of, size, copies=copies)
        case SampleConfig():
            return _sampling(memory.shape(config.model), _of_prompts(data, tokenizer, config.text), config)
        case BestOfNConfig():
            longest = _of_prompts(data, tokenizer, config.text)
            if config.bag_size and (data / "bag.parquet").exists():
                bag = tables.read_table(data / "bag.parquet", tables.BAG)
                longest = max(longest, _longest(tokenizer, config.text, _answers(bag), 8).prompt)
            return _best_of_n(config, longest)
        case PPOConfig():
            mixes_texts = config.ptx_coefficient > 0 and (folder / CORPUS_FILE).exists()
            return _ppo(config, _of_prompts(data, tokenizer, config.text), mixes_texts)
        case GRPOConfig():
            return _grpo(config, _of_prompts(data, tokenizer, config.text))
        case JudgeConfig():
            pairs = tables.read_table(data / "pairs.parquet", tables.PAIRS)
            texts = ((p["prompt"], [p[side]]) for p in pairs for side in ("completion_a", "completion_b"))
            of = memory.shape(config.reward_model or "")
            size = _longest(tokenizer, config.text, texts, config.batch_size)
            return Estimate(weights=memory.weights(of), cache=memory.forward_only(of, size.tokens))
        case _:
            raise AssertionError(config)


def _with_adapter(found: Estimate, config: Config) -> Estimate:
    """The estimate of full training, with gradients and moments of the adapter alone; the reference is the policy."""
    lora = getattr(config, "lora", None)
    if lora is None or isinstance(config, SampleConfig | BestOfNConfig | JudgeConfig | EstimateConfig):
        return found
    of = [memory.shape(config.model)]
    of += [memory.shape(config.reward_model)] if isinstance(config, PPOConfig) else []
    adapter = sum(memory.adapter(one, lora.rank) for one in of)
    reference = memory.weights(of[0])
    changed = {"gradients": adapter, "optimizer": 2 * adapter, "weights": found.weights + adapter}
    if isinstance(config, PPOConfig):
        changed["weights"] -= reference
    elif isinstance(config, DPOConfig | GRPOConfig):
        changed["copies"] = found.copies - reference
    return Estimate(**(vars(found) | changed))


def _training(of: Shape, size: Size, whole: bool = False, copies: int = 0) -> Estimate:
    """A model in training with AdamW, whose two moments stay."""
    weights = memory.weights(of)
    return Estimate(
        weights=weights,
        copies=copies,
        gradients=weights,
        optimizer=2 * weights,
        activations=memory.activations(of, size.tokens),
        logits=memory.logits(of, size.tokens if whole else size.completions),
    )


def _reward(config: RewardConfig, size: Size) -> Estimate:
    of = memory.shape(config.model)
    copies = memory.weights(of) if config.evaluate_every else 0
    if config.scaling_shares:  # a smaller model is trained beside the large one
        copies += 4 * memory.weights(of)
    found = _training(of, Size(size.tokens), copies=copies)
    if config.policy is None:
        return found
    policy = memory.shape(config.policy)  # it has gone when training starts
    rows = min(config.num_samples, 4 * config.micro_batch_size)
    needed = memory.weights(policy)
    needed += memory.cache(policy, rows, config.text.max_prompt_tokens, config.text.max_completion_tokens)
    beyond = max(0, needed - 2 * found.weights)  # the optimiser isn't there yet
    return Estimate(**(vars(found) | {"cache": beyond}))


def _sampling(of: Shape, prompt: int, config: SampleConfig) -> Estimate:
    rows = config.sampling.batch_size
    return Estimate(weights=memory.weights(of), cache=memory.cache(of, rows, prompt, config.text.max_completion_tokens))


def _best_of_n(config: BestOfNConfig, prompt: int) -> Estimate:
    """Sampling and scoring come before the optimiser is there; training holds the policy alone."""
    of, judge = memory.shape(config.model), memory.shape(config.reward_model)
    each = prompt + config.text.max_completion_tokens
    size = Size(config.micro_batch_size * each, config.micro_batch_size * config.text.max_completion_tokens, prompt)
    found = _training(of, size, copies=memory.weights(of) if config.evaluate_every else 0)
    rows = config.sampling.batch_size
    scoring = memory.weights(judge) + memory.forward_only(judge, rows * each)
    sampling = memory.cache(of, rows, prompt, config.text.max_completion_tokens)
    return Estimate(**(vars(found) | {"cache": max(0, max(scoring, sampling) - found.optimizer)}))


def _ppo(config: PPOConfig, prompt: int, mixes_texts: bool) -> Estimate:
    policy, value = memory.shape(config.model), memory.shape(config.reward_model)
    others = [policy]  # the reference
    others += [memory.shape(config.sft_model)] if config.sft_model != config.model else []
    others += _rewards(config.rewards, config.reward_model)
    others += [memory.shape(config.held_out_reward_model)] if config.held_out_reward_model else []
    size = _of_rollouts(prompt, config.text, config.micro_batch_size)
    longest = config.text.max_prompt_tokens + config.text.max_completion_tokens  # a piece of a text
    mixed = max(size.tokens, config.micro_batch_size * longest) if mixes_texts else size.tokens
    trained = memory.weights(policy, value)
    return Estimate(
        weights=trained + memory.weights(*others),
        copies=memory.weights(policy) if config.ema_decay is not None else 0,
        gradients=trained,
        optimizer=2 * trained,
        activations=max(memory.activations(policy, mixed), memory.activations(value, size.tokens)),
        logits=memory.logits(policy, mixed if config.ptx_coefficient else size.completions),
        cache=memory.cache(policy, config.rollouts_per_iteration, prompt, config.text.max_completion_tokens),
    )


def _grpo(config: GRPOConfig, prompt: int) -> Estimate:
    of = memory.shape(config.model)
    models = [of, *_rewards(config.rewards, config.reward_model)]
    found = _training(of, _of_rollouts(prompt, config.text, config.micro_batch_size), copies=memory.weights(*models))
    rows = memory.cache(of, config.num_rollouts, prompt, config.text.max_completion_tokens)
    return Estimate(**(vars(found) | {"cache": rows}))


def _rewards(config: RewardsConfig, reward_model: str | None) -> list[Shape]:
    names = [reward_model, *config.models, config.safety_model]
    return [memory.shape(name) for name in names if name is not None]


def _of_rollouts(prompt: int, text: TextConfig, micro_batch_size: int) -> Size:
    """As long as they may get."""
    return Size(
        micro_batch_size * (prompt + text.max_completion_tokens), micro_batch_size * text.max_completion_tokens, prompt
    )


def _of_prompts(data: Path, tokenizer: PreTrainedTokenizerBase, text: TextConfig) -> int:
    rows = tables.read_table(data / "prompts.parquet", tables.PROMPTS)
    return _longest(tokenizer, text, ((row["prompt"], []) for row in rows), 8).prompt


def _of_rankings(data: Path, tokenizer: PreTrainedTokenizerBase, config: RewardConfig | DPOConfig) -> Size:
    rows = tables.read_table(data / "rankings.parquet", tables.RANKINGS)
    texts = ((row["prompt"], row["completions"]) for row in rows)
    if config.completions_per_forward is None:
        unshared = _longest(tokenizer, config.text, texts, config.micro_batch_size)
        sets = _longest_sets(rows, config.micro_batch_size)
        return min(unshared, _longest(tokenizer, config.text, sets, len(sets)), key=lambda size: size.tokens)
    alone = ((row["prompt"], [completion]) for row in rows for completion in row["completions"])
    return _longest(tokenizer, config.text, alone, config.completions_per_forward)


def _longest_sets(rows: Iterable[Mapping[str, Any]], room: int) -> list[tuple[Messages, list[str]]]:
    """The longest completion sets that `room` rankings may be of, where those of a set lie side by side and share its
    forwards; of four a single ranking may be there, cut off where a batch or a part of one ends."""
    sets: dict[object, tuple[Messages, dict[int, str], list[bool]]] = {}
    for row in rows:
        _, texts, certain = sets.setdefault(completion_set(row), (row["prompt"], {}, []))
        texts.update(zip(row["completion_ids"], row["completions"], strict=True))
        certain.append(row["split"] == "train" and row["weight"] > 0 and len(set(row["ranks"])) > 1)
    found: list[tuple[Messages, list[str]]] = []
    order = sorted(sets.values(), key=lambda one: -len(str(one[0])) - sum(map(len, one[1].values())))
    for prompt, texts, certain in order:
        if room <= 0:
            break
        room -= 1 if len(found) < _CUT_SETS else max(1, sum(certain))
        found.append((prompt, list(texts.values())))
    return found


def _answers(rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Messages, list[str]]]:
    return ((row["prompt"], [row["completion"]]) for row in rows)


def _longest(
    tokenizer: PreTrainedTokenizerBase, text: TextConfig, texts: Iterable[tuple[Messages, Sequence[str]]], count: int
) -> Size:
    """The `count` longest of (prompt, its completions), a prompt counted once, as it is laid out."""
    order = sorted(texts, key=lambda one: -len(str(one[0])) - sum(map(len, one[1])))[:count]
    prompts = [_prompt_length(tokenizer, messages, text) for messages, _ in order]
    limit = text.max_completion_tokens
    answers = sum(len(encode_completion(tokenizer, answer, limit)) for _, found in order for answer in found)
    return Size(sum(prompts) + answers, answers, max(prompts, default=0))


def _prompt_length(tokenizer: PreTrainedTokenizerBase, messages: Messages, text: TextConfig) -> int:
    """Of a prompt that can't be used the most that is allowed: reading it in earnest says what is wrong with it."""
    try:
        return min(text.max_prompt_tokens, len(prompt_tokens(tokenizer, messages, text)))
    except TextError:
        return text.max_prompt_tokens
