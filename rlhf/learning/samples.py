"""What a policy in training answers to a few prompts: told at every checkpoint and at the last step.

Held-out prompts where there are any, the same ones with the same noise each time, so that answers differ by the weights
alone. Sampling changes no weight and draws nothing from a generator (`rlhf.learning.noise`): a run with it ends with
the bytes of a run without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch

from rlhf.learning.configs import TextConfig
from rlhf.learning.loop import Run, autocast
from rlhf.learning.noise import mix
from rlhf.learning.policy import Policy
from rlhf.learning.reading import PROMPT, Reader, reader
from rlhf.learning.reward_model import RewardModel, last_token_scores
from rlhf.learning.sampling import Prompt, Sample, sample
from rlhf.learning.tables import TableError
from rlhf.learning.text import Encoded, decode, right_pad

PHASE = "checkpoint_sample"  # of their lines in metrics.jsonl, which are no logged steps
_SALT = 0x5A  # their noise is that of no rollout


@dataclass(frozen=True)
class _Watched:
    policy: Policy
    prompts: list[Prompt]
    temperature: float
    max_new_tokens: int
    reward_model: RewardModel | None


def watch(
    work: Run,
    policy: Policy,
    rows: Iterable[Mapping[str, Any]],
    text: TextConfig,
    temperature: float = 1.0,
    reward_models: Sequence[RewardModel] = (),
) -> None:
    """Have `work` log the answers to `engine.num_checkpoint_samples` prompts wherever a checkpoint is due.

    Args:
        rows: with prompt_id, prompt (messages) and split.
        reward_models: the first one scores the answers, normalised; none: there is no score.
    """
    as_read = reader(policy.model, policy.tokenizer, text, PROMPT)
    prompts = list(islice(_readable(as_read, rows), work.engine.num_checkpoint_samples))
    if prompts:
        model = next(iter(reward_models), None)
        watched = _Watched(policy, prompts, temperature, text.max_completion_tokens, model)
        work.before_checkpoint = partial(_tell, work, watched)


def _readable(as_read: Reader, rows: Iterable[Mapping[str, Any]]) -> Iterator[Prompt]:
    """Held-out prompts first, then by id, each once. One that can't be read is left to who trains on it."""
    seen = set()
    for row in sorted(rows, key=lambda row: (row["split"] == "train", row["prompt_id"])):
        if row["prompt_id"] in seen:
            continue
        seen.add(row["prompt_id"])
        try:
            yield Prompt(row["prompt_id"], as_read.prompt(row["prompt_id"], row["prompt"]))
        except TableError:
            continue


@torch.no_grad()
def _tell(work: Run, watched: _Watched) -> None:
    policy, prompts = watched.policy, watched.prompts
    with autocast(work.engine, policy.model.device):
        answers = sample(
            policy,
            prompts,
            num_samples=1,
            temperature=watched.temperature,
            max_new_tokens=watched.max_new_tokens,
            seed=mix(work.engine.seed, _SALT),
            batch_size=len(prompts),
        )
        scores = _scores(watched, answers)
    for answer, score in zip(answers, scores, strict=True):
        text = decode(policy.tokenizer, answer.ids)
        work.log(PHASE, {"prompt_id": answer.prompt_id, "completion": text, "score": score})


def _scores(watched: _Watched, answers: Sequence[Sample]) -> list[float] | list[None]:
    if watched.reward_model is None:
        return [None] * len(answers)
    pairs = zip(watched.prompts, answers, strict=True)
    sequences = [Encoded(prompt.prompt_id, prompt.ids, answer.ids) for prompt, answer in pairs]
    batch = right_pad(sequences, watched.policy.pad_id, watched.policy.model.device)
    found: list[float] = watched.reward_model.normalised(last_token_scores(watched.reward_model, batch)).tolist()
    return found
