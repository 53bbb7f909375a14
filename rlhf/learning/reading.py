"""Rows of a run's tables as tokens of its model. What can't be used is refused before any training step, by row and
field; nothing is skipped in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.learning import tables
from rlhf.learning.configs import TextConfig
from rlhf.learning.tables import TableError
from rlhf.learning.text import Encoded, TextError, encode_completion, prompt_tokens

DEMONSTRATION, PROMPT = "data/demonstrations.parquet: demonstration", "data/prompts.parquet: prompt"


@dataclass(frozen=True)
class Reader:
    """The rows of one table, as one model reads them."""

    tokenizer: PreTrainedTokenizerBase
    text: TextConfig
    positions: int | None  # that the model has; None: as many as you like
    row: str  # what a row is called in messages, its id behind it

    def prompt(self, row_id: int, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of a prompt, cut on the left to `text.max_prompt_tokens`.

        Raises:
            TableError: no messages of texts, a chat template that refuses them, or more tokens than the model has
                positions: such a prompt is a mistake, and its tail alone another question.
            TextError: the tokenizer has no chat template.
        """
        if not messages or not all(isinstance(m[key], str) for m in messages for key in ("role", "content")):
            raise self._refuse(row_id, "prompt", messages, "messages with a role and a content")
        try:
            ids = prompt_tokens(self.tokenizer, messages, self.text)
        except TextError as error:
            if self.tokenizer.chat_template is None:
                raise  # it is not this row's fault
            raise TableError(f"{self.row} {row_id}, field prompt: {error}") from error
        if self.positions is not None and len(ids) > self.positions:
            expected = f"at most the {self.positions} positions that the model has"
            raise self._refuse(row_id, "prompt", f"{len(ids)} tokens", expected)
        return ids[-self.text.max_prompt_tokens :]

    def answer(self, row_id: int, messages: Sequence[Mapping[str, str]], completion: str) -> Encoded:
        """A prompt with what a model or a person answered; an answer of no text is end-of-text alone."""
        prompt_ids = self.prompt(row_id, messages)
        return Encoded(
            row_id, prompt_ids, encode_completion(self.tokenizer, completion, self.text.max_completion_tokens)
        )

    def demonstration(self, row: Mapping[str, Any]) -> Encoded:
        """A row of data/demonstrations.parquet. Raises TableError as `prompt` does, and for an empty completion: it
        would teach the policy to say nothing."""
        if not row["completion"].strip():
            raise self._refuse(row["demonstration_id"], "completion", row["completion"], "a text that is not empty")
        return self.answer(row["demonstration_id"], row["prompt"], row["completion"])

    def _refuse(self, row_id: int, field: str, found: object, expected: str) -> TableError:
        shown = found if isinstance(found, str) and found.strip() else repr(found)
        return TableError(f"{self.row} {row_id}, field {field}: found {shown}, expected {expected}")


def reader(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: TextConfig, row: str) -> Reader:
    """How `model` reads the rows that are called `row`."""
    return Reader(tokenizer, text, getattr(model.config, "max_position_embeddings", None), row)


def read_split(path: Path, schema: pa.Schema, row_id: str) -> list[dict[str, Any]]:
    """The rows of a table with a split. Raises TableError naming the first row whose split is none of the two."""
    rows = tables.read_table(path, schema)
    for row in rows:
        if row["split"] not in ("train", "held_out"):
            raise TableError(
                f"{path}: {row_id} {row[row_id]}, field split: found {row['split']!r}, expected train or held_out"
            )
    return rows
