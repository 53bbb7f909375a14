"""PPO-ptx: demonstrations or a corpus, mixed into PPO's updates (InstructGPT, 2203.02155, equation 2).

The term is coefficient * mean over tokens of -log pi(token), of a batch of its own beside every minibatch. InstructGPT
sums two expectations, one over completions and one over texts; ours are both means over tokens, as is the policy loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rlhf.learning import distributed, loop, tables
from rlhf.learning.configs import EngineConfig, InputError, PPOConfig
from rlhf.learning.corpus import places_of_step
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
    """The training rows of data/demonstrations.parquet; None where nothing is mixed in.

    Raises:
        InputError: no row to mix in.
    """
    if config.ptx_coefficient == 0:
        return None
    path = folder / "data" / "demonstrations.parquet"
    rows = [row for row in read_split(path, tables.DEMONSTRATIONS, "demonstration_id") if row["split"] == "train"]
    as_read = reader(policy.model, policy.tokenizer, config.text, DEMONSTRATION)
    found = [as_read.demonstration(row) for row in rows]
    if config.ptx_loss_on == "all":
        found = [over_all_tokens(sequence) for sequence in found]
    if not found:
        raise InputError(f"{path}: found no demonstration of the train split, expected some for ptx_coefficient")
    return Mixture(found, config.ptx_coefficient, config.ptx_batch_size, config.micro_batch_size)


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
