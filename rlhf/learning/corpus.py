"""Pre-training texts, mixed into supervised fine-tuning and PPO so that a policy forgets less.

InstructGPT started PPO from such a model (2203.02155, C.3: two epochs with 10 % of pre-training data). Every optimiser
step takes texts beside its demonstrations, and its loss is one mean over the tokens of both: all tokens of a text but
the first, the completion of a demonstration. Within PPO they are a term of their own (PPO-ptx, `rlhf.learning.mixing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rlhf.learning import tables
from rlhf.learning.configs import InputError, SFTConfig, TextConfig
from rlhf.learning.loop import epoch_order
from rlhf.learning.text import Encoded

CORPUS_FILE = "data/corpus.parquet"


@dataclass(frozen=True)
class Corpus:
    """Pieces of texts, and how many of them a step takes."""

    pieces: list[Encoded]
    per_step: int

    def of_step(self, step: int, seed: int) -> list[Encoded]:
        return [self.pieces[place] for place in places_of_step(len(self.pieces), self.per_step, step, seed)]


def places_of_step(count: int, size: int, step: int, seed: int) -> list[int]:
    """Which `size` of `count` rows optimiser step `step` takes: every row once a pass, in an order that `seed` decides;
    a function of its arguments alone, so that a resumed run goes on where it was."""
    places = range(step * size, (step + 1) * size)
    orders = {place // count: epoch_order(count, seed, place // count) for place in places}
    return [orders[place // count][place % count] for place in places]


def read_corpus(folder: Path, tokenizer: PreTrainedTokenizerBase, config: SFTConfig) -> Corpus | None:
    """data/corpus.parquet; None where nothing is mixed in.

    Raises:
        TableError, InputError: as `read_pieces`.
    """
    if config.mix_share == 0:
        return None
    per_step = max(1, round(config.batch_size * config.mix_share / (1 - config.mix_share)))
    return Corpus(read_pieces(folder, tokenizer, config.text, "mix_share"), per_step)


def read_pieces(folder: Path, tokenizer: PreTrainedTokenizerBase, text: TextConfig, option: str) -> list[Encoded]:
    """The texts of data/corpus.parquet in pieces of at most a prompt's and a completion's tokens; `option` asks for
    them.

    Raises:
        TableError: names a text that is empty. InputError: there is none at all.
    """
    path = folder / CORPUS_FILE
    length = text.max_prompt_tokens + text.max_completion_tokens
    pieces: list[Encoded] = []
    for row in tables.read_table(path, tables.CORPUS):
        if not row["text"].strip():
            raise tables.TableError(
                f"{CORPUS_FILE}: text {row['text_id']}, field text: found {row['text']!r}, expected a text that "
                "is not empty"
            )
        pieces += cut(row["text_id"], _tokens(tokenizer, row["text"]), length)
    if not pieces:
        raise InputError(f"{path}: found no text, expected some for {option}")
    return pieces


def cut(row_id: int, ids: list[int], length: int) -> list[Encoded]:
    """A text as pieces of at most `length` tokens, of which each begins with the last token of the one before: every
    token but the first is predicted just once."""
    assert length >= 2, length
    starts = range(0, max(1, len(ids) - 1), length - 1)
    return [Encoded(row_id, ids[start : start + 1], ids[start + 1 : start + length]) for start in starts]


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """With what the tokenizer puts in front of a text, and one end-of-text behind it."""
    ids = list(tokenizer(text)["input_ids"])
    return ids if ids[-1] == tokenizer.eos_token_id else [*ids, int(tokenizer.eos_token_id)]
