"""PPO-ptx: pre-training texts, or else demonstrations, mixed into PPO's updates (InstructGPT, 2203.02155, equation 2).

data/corpus.parquet is what is mixed in where there is one, as in the paper; data/demonstrations.parquet where there is
none. The term is coefficient * mean over tokens of -log pi(token), of a batch of its own beside every minibatch.
InstructGPT sums two expectations, one over completions and one over texts; ours are both means over tokens, as is the
policy loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rlhf.learning import distributed, loop, tables
from rlhf.learning.configs import EngineConfig, InputError, PPOConfig
from rlhf.learning.configs.errors import require
from rlhf.learning.corpus import CORPUS_FILE, places_of_step, read_pieces
from rlhf.learning.policy import Policy
from rlhf.learning.reading import DEMONSTRATION, read_split, reader
from rlhf.learning.sft import negative_log_likelihood
from rlhf.learning.text import Batch, Encoded, over_all_tokens, right_pad


@dataclass(frozen=True)
class Mixture:
    """What is mixed in, and how much of it."""

    sequences: list[Encoded]
    coefficient: float
    batch_size: int
    micro_batch_size: int

    def of_step(self, step: int, seed: int) -> list[Encoded]:
        """The batch beside optimiser step `step`."""
        return [self.sequences[place] for place in places_of_step(len(self.sequences), self.batch_size, step, seed)]


def read_mixture(folder: Path, policy: Policy, config: PPOConfig) -> Mixture | None:
    """The texts of data/corpus.parquet where there is such a file, else the training rows of
    data/demonstrations.parquet; None where nothing is mixed in.

    Raises:
        InputError: nothing there to mix in. TableError: names a row that can't be used. ConfigError: texts, whose
            completions should count alone, have none.
    """
    if config.ptx_coefficient == 0:
        return None
    corpus = folder / CORPUS_FILE
    if corpus.exists():
        require(
            config.ptx_loss_on == "all",
            f"ptx_loss_on: expected all where {CORPUS_FILE} is mixed in, found {config.ptx_loss_on}: texts have no "
            "completions",
        )
        found = read_pieces(folder, policy.tokenizer, config.text, "ptx_coefficient")
    else:
        found = _demonstrations(folder, policy, config)
    return Mixture(found, config.ptx_coefficient, config.ptx_batch_size, config.micro_batch_size)


def _demonstrations(folder: Path, policy: Policy, config: PPOConfig) -> list[Encoded]:
    path = folder / "data" / "demonstrations.parquet"
    rows = [row for row in read_split(path, tables.DEMONSTRATIONS, "demonstration_id") if row["split"] == "train"]
    as_read = reader(policy.model, policy.tokenizer, config.text, DEMONSTRATION)
    found = [as_read.demonstration(row) for row in rows]
    if config.ptx_loss_on == "all":
        found = [over_all_tokens(sequence) for sequence in found]
    if not found:
        raise InputError(f"{path}: found no demonstration of the train split, expected some for ptx_coefficient")
    return found


def add_gradients(mixture: Mixture, policy: Policy, step: int, engine: EngineConfig) -> float:
    """Add the term's gradients to those that the policy has. Returns the mean loss, nats a token, unscaled."""
    batch = mixture.of_step(step, engine.seed)
    num_tokens = sum(len(sequence.completion_ids) for sequence in batch)
    device = policy.model.device

    def loss_sum(part: Batch) -> Tensor:
        with loop.autocast(engine, device):
            return mixture.coefficient * negative_log_likelihood(policy, part)

    size = distributed.micro_batch_size(mixture.micro_batch_size, len(batch))
    parts = (right_pad(batch[i : i + size], policy.pad_id, device) for i in range(0, len(batch), size))
    return loop.accumulate(parts, loss_sum, num_tokens, lambda part: part.row_ids) / mixture.coefficient
