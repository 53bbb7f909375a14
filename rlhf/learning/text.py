"""Messages to tokens and back: prompts, completions, end-of-text, padding and its masks.

Masks come from lengths, never from comparing ids with the pad id; the pad id is never an end-of-text id.
Sequences for training are padded on the right (no real position can see a later one, so they need neither mask nor
position ids); prompts for sampling are padded on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.learning.configs import InputError, TextConfig
from rlhf.learning.packing import Stream, lay_out

# Written by the makers of common checkpoints for this very purpose; never produced by text.
_PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|padding|>", "<|finetune_right_pad_id|>")
_ROLES = {"system": "System", "user": "User", "assistant": "Assistant"}


class TextError(InputError):
    """Messages that can't become tokens with this tokenizer."""


@dataclass(frozen=True)
class Encoded:
    """One sequence: a prompt of P tokens and a completion of C tokens, and the id of the row that it came from."""

    row_id: int
    prompt_ids: list[int]
    completion_ids: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class Batch:
    """B sequences padded on the right to T tokens; their completions alone fill (B, C)."""

    row_ids: list[int]
    input_ids: Tensor  # (B, T) int64
    prompt_lengths: Tensor  # (B,) int64
    lengths: Tensor  # (B,) int64, prompt and completion
    token_mask: Tensor  # (B, T) bool, True at real tokens
    predicts: Tensor  # (B, T) bool, True at positions whose next token belongs to the completion
    completion_ids: Tensor  # (B, C) int64
    completion_mask: Tensor  # (B, C) bool, True at real completion tokens
    sizes: list[tuple[int, int]]  # (prompt length, length) of every row, as numbers: reading a GPU's costs a wait
    prompt_groups: list[int]  # rows with equal numbers have equal prompts

    @cached_property
    def stream(self) -> Stream:
        """The same tokens as one row without padding."""
        prompts, lengths = zip(*self.sizes, strict=True)
        return lay_out(prompts, lengths, self.prompt_groups, self.input_ids.shape[1], self.input_ids.device)

    @property
    def num_completion_tokens(self) -> int:
        return int(self.completion_mask.sum())

    def to_completions(self, values: Tensor) -> Tensor:
        """Lay values of the predicting positions, (N,) in row order, out as (B, C); zero at padding."""
        assert values.dim() == 1, values.shape
        laid_out = values.new_zeros(self.completion_mask.shape)
        return laid_out.masked_scatter(self.completion_mask, values)


@dataclass(frozen=True)
class PromptBatch:
    """B prompts padded on the left to T tokens."""

    input_ids: Tensor  # (B, T) int64
    attention_mask: Tensor  # (B, T) int64, 1 at real tokens
    position_ids: Tensor  # (B, T) int64, 0 at the first real token


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], prompt_format: str) -> str:
    """The text of a conversation up to the point where the assistant answers.

    `chat`: the tokenizer's chat template with its generation prompt. `plain`, for models without a template:
    each message is its role on a line of its own ("User:"), its content on the next, then an empty line;
    the text ends with "Assistant:" and a line break.

    Raises:
        TextError: prompt_format is chat and the tokenizer has no chat template, or the template refuses the messages.
    """
    if prompt_format == "plain":
        turns = [f"{_ROLES.get(m['role'], m['role'].title())}:\n{m['content']}\n\n" for m in messages]
        return "".join(turns) + "Assistant:\n"
    if tokenizer.chat_template is None:
        raise TextError(
            f"{tokenizer.name_or_path}: found a tokenizer without a chat template, "
            'expected one for text.prompt_format = "chat"; set it to "plain"'
        )
    try:
        rendered = tokenizer.apply_chat_template(
            [{"role": m["role"], "content": m["content"]} for m in messages], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # templates raise what they like: jinja2 errors, their own raise_exception, TypeError
        raise TextError(f"{tokenizer.name_or_path}: the chat template refuses these messages: {error}") from error
    return str(rendered)


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], text: TextConfig
) -> list[int]:
    """Token ids of a prompt, cut on the left to `max_prompt_tokens`."""
    return prompt_tokens(tokenizer, messages, text)[-text.max_prompt_tokens :]


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], text: TextConfig
) -> list[int]:
    """Token ids of a whole prompt.

    A rendered template holds its special tokens already; plain text gets the begin-of-text token that the tokenizer
    would put in front, and never an end-of-text token.
    """
    rendered = render(tokenizer, messages, text.prompt_format)
    ids = list(tokenizer(rendered, add_special_tokens=text.prompt_format == "plain")["input_ids"])
    if text.prompt_format == "plain" and ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    if not ids:
        raise TextError(f"{tokenizer.name_or_path}: found an empty prompt, expected at least one token")
    return ids


def encode_completion(tokenizer: PreTrainedTokenizerBase, completion: str, max_completion_tokens: int) -> list[int]:
    """Token ids of a whole answer with end-of-text; one that is too long is cut and then carries no end-of-text.

    Text that looks like a special token stays text: an answer can't end itself or open another turn.
    """
    ids = list(tokenizer(completion, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    return ids[:max_completion_tokens]


def encode(
    tokenizer: PreTrainedTokenizerBase,
    row_id: int,
    messages: Sequence[Mapping[str, str]],
    completion: str,
    text: TextConfig,
) -> Encoded:
    """A prompt with its answer, as training reads it."""
    return Encoded(
        row_id=row_id,
        prompt_ids=encode_prompt(tokenizer, messages, text),
        completion_ids=encode_completion(tokenizer, completion, text.max_completion_tokens),
    )


def over_all_tokens(encoded: Encoded) -> Encoded:
    """The same tokens with all but the first counted as completion: the loss of pre-training."""
    ids = encoded.prompt_ids + encoded.completion_ids
    return replace(encoded, prompt_ids=ids[:1], completion_ids=ids[1:])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of a completion, without special tokens and with its white space as sampled."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def right_pad(sequences: Sequence[Encoded], pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """Pad prompt + completion on the right.

    Args:
        sequences: B sequences, each with at least one prompt token (the first completion token is predicted from it).
        pad_id: any id; masks come from lengths.

    Returns:
        A Batch with T the longest sequence and C the longest completion.
    """
    assert sequences and all(s.prompt_ids for s in sequences), "expected sequences with a prompt"
    prompt_lengths = torch.tensor([len(s.prompt_ids) for s in sequences])
    lengths = torch.tensor([s.length for s in sequences])
    width = int(lengths.max())
    completion_width = int((lengths - prompt_lengths).max())
    ids = [s.prompt_ids + s.completion_ids + [pad_id] * (width - s.length) for s in sequences]
    completions = [s.completion_ids + [pad_id] * (completion_width - len(s.completion_ids)) for s in sequences]
    positions = torch.arange(width)
    groups: dict[tuple[int, ...], int] = {}
    return Batch(
        row_ids=[s.row_id for s in sequences],
        input_ids=torch.tensor(ids).to(device),  # (B, T)
        prompt_lengths=prompt_lengths.to(device),
        lengths=lengths.to(device),
        token_mask=(positions < lengths[:, None]).to(device),
        predicts=((positions >= prompt_lengths[:, None] - 1) & (positions < lengths[:, None] - 1)).to(device),
        completion_ids=torch.tensor(completions, dtype=torch.int64).to(device),  # (B, C)
        completion_mask=(torch.arange(completion_width) < (lengths - prompt_lengths)[:, None]).to(device),
        sizes=[(len(s.prompt_ids), s.length) for s in sequences],
        prompt_groups=[groups.setdefault(tuple(s.prompt_ids), len(groups)) for s in sequences],
    )


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device | str = "cpu") -> PromptBatch:
    """Pad prompts on the left, so that every row's next token is at the same place.

    Returns:
        A PromptBatch with T the longest prompt; position_ids = cumsum(mask) - 1, and 0 at padding.
    """
    width = max(len(p) for p in prompts)
    ids = torch.tensor([[pad_id] * (width - len(p)) + list(p) for p in prompts])
    mask = (torch.arange(width) >= width - torch.tensor([len(p) for p in prompts])[:, None]).long()
    return PromptBatch(ids.to(device), mask.to(device), (mask.cumsum(-1) - 1).clamp(min=0).to(device))


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel | None = None) -> frozenset[int]:
    """The ids that end a completion: the tokenizer's end-of-text and those of the model's generation config."""
    found = {tokenizer.eos_token_id}
    generation = getattr(model, "generation_config", None)  # a reward model has none
    if generation is not None:
        configured = generation.eos_token_id
        found |= set(configured) if isinstance(configured, list | tuple) else {configured}
    return frozenset(int(i) for i in found if i is not None)


def ensure_pad_token(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """Give tokenizer and model a pad token that ends nothing; returns its id.

    An existing padding token is taken where there is one, else `<|pad|>` is added, with one more embedding row (the
    mean of the others) only if the matrix is too short. A pad token equal to end-of-text would teach a model never
    to stop (2403.17031, detail 6) and hide a reward model's last token.
    """
    ends = stop_ids(tokenizer, model)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in ends:
        vocabulary = tokenizer.get_vocab()
        known = [name for name in _PAD_NAMES if name in vocabulary and vocabulary[name] not in ends]
        tokenizer.add_special_tokens({"pad_token": known[0] if known else _PAD_NAMES[0]})
    pad_id = int(tokenizer.pad_token_id)
    rows = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    if pad_id >= rows:
        model.resize_token_embeddings(pad_id + 1, mean_resizing=False)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if isinstance(layer, nn.Embedding | nn.Linear):
                layer.weight.data[rows:] = layer.weight.data[:rows].mean(0)
    model.config.pad_token_id = pad_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = pad_id
    return pad_id
