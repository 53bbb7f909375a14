"""A `best_of_n` run: N completions per prompt, the best by reward kept, SFT on those.

Rejection sampling as in Llama 2, section 3.2.3, from the current policy and on training prompts alone. A completion
without end-of-text is never the best: it would teach the policy not to end. A prompt is left out of the SFT where no
completion ended, or where all scores are equal, since nothing was chosen. The curve counts every sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlhf.learning import checkpoint, loop, needs, reward_model, tables
from rlhf.learning.configs import BestOfNConfig, InputError
from rlhf.learning.policy import Policy, load_policy, require_room, save_policy
from rlhf.learning.reading import PROMPT, read_split, reader
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.sampling import Prompt, sample, sample_rows
from rlhf.learning.sft import fit, num_steps
from rlhf.learning.stats.expected_best import expected_best
from rlhf.learning.text import Encoded, encode_completion, encode_prompt


class NothingChosen(InputError):
    """No prompt of the train split, or no prompt of which one completion was better than the others."""


def run(folder: Path, config: BestOfNConfig) -> None:
    """Sample, score and choose (once: a second start reads rows.parquet), then train on what was chosen."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    # 1. Samples with their scores.
    path = folder / "data" / "prompts.parquet"
    prompts = [row for row in read_split(path, tables.PROMPTS, "prompt_id") if row["split"] == "train"]
    if not prompts:
        raise NothingChosen(f"{path}: found no prompt of the train split, expected at least one")
    work = loop.Run(folder, "best_of_n", config.engine, num_steps(len(prompts), config.batch_size, config.num_epochs))
    if not (folder / "rows.parquet").exists():
        checkpoint.cut_metrics(folder, -1)  # an attempt that was stopped while it sampled; this one samples anew
        work.log_first("estimate", estimate)
        rows = _sample_and_score(policy, prompts, work, config)
        tables.write_table(folder / "rows.parquet", tables.BEST_OF_N_ROWS, rows)
    rows = tables.read_table(folder / "rows.parquet", tables.BEST_OF_N_ROWS)
    # 2. SFT on the best.
    chosen = _chosen(policy, prompts, rows, config)
    if not chosen:
        raise NothingChosen(f"{path}: found no prompt with a completion that ended and scored above another one")
    work.total_steps = num_steps(len(chosen), config.batch_size, config.num_epochs)
    learner = loop.Learner(policy.model, config.optimizer, work.total_steps)
    work.resume({"policy": policy.model}, {"policy": learner})
    fit(
        work,
        learner,
        policy,
        chosen,
        num_epochs=config.num_epochs,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
    )
    # 3. Results.
    save_policy(policy, folder / "model")
    work.finish(_report(rows, len(chosen)), ["model", "rows.parquet"])


def choose(scores: Sequence[float], finished: Sequence[bool]) -> int | None:
    """Index of the best of a prompt's completions: the highest score of those that ended; the first of equals.

    None where none ended, or where all scores (of those that didn't end too) are equal.
    """
    if not any(finished) or min(scores) == max(scores):
        return None
    return max((index for index, ended in enumerate(finished) if ended), key=lambda index: (scores[index], -index))


def _sample_and_score(
    policy: Policy, prompts: Sequence[dict[str, Any]], work: loop.Run, config: BestOfNConfig
) -> list[dict[str, Any]]:
    device = policy.model.device
    as_read = reader(policy.model, policy.tokenizer, config.text, PROMPT)
    encoded = [Prompt(row["prompt_id"], as_read.prompt(row["prompt_id"], row["prompt"])) for row in prompts]

    def on_batch(phase: str, done: int, total: int) -> None:
        work.log(phase, {"done": done, "total": total})
        work.stop_if_asked()

    with loop.autocast(config.engine, device):
        samples = sample(
            policy,
            encoded,
            num_samples=config.sampling.num_samples,
            temperature=config.sampling.temperature,
            max_new_tokens=config.text.max_completion_tokens,
            seed=config.engine.seed,
            batch_size=config.sampling.batch_size,
            on_batch=lambda done, total: on_batch("sample", done, total),
        )
    rows = sample_rows(policy.tokenizer, samples)
    reward = reward_model.load_trained(config.reward_model, device)
    messages = {row["prompt_id"]: row["prompt"] for row in prompts}
    sequences = [_sequence(reward, messages[row["prompt_id"]], row, config) for row in rows]
    with loop.autocast(config.engine, device):
        scores = reward.normalised(
            torch.tensor(
                reward_model.score(
                    reward,
                    sequences,
                    config.sampling.batch_size,
                    on_batch=lambda done, total: on_batch("score", done, total),
                ),
                dtype=torch.float64,
            )
        ).tolist()
    rows = [row | {"score": score, "best": False} for row, score in zip(rows, scores, strict=True)]
    for group in _by_prompt(rows).values():
        best = choose([row["score"] for row in group], [row["finished"] for row in group])
        if best is not None:
            group[best]["best"] = True
    return rows


def _sequence(
    model: Policy | RewardModel, messages: list[dict[str, str]], row: dict[str, Any], config: BestOfNConfig
) -> Encoded:
    """A sampled completion as tokens of a model's own tokenizer, with end-of-text only where it was written."""
    limit = config.text.max_completion_tokens
    completion_ids = encode_completion(model.tokenizer, row["completion"], limit + 1)
    if not row["finished"] and completion_ids[-1] == model.tokenizer.eos_token_id:
        completion_ids.pop()
    prompt_ids = encode_prompt(model.tokenizer, messages, config.text)
    return Encoded(row["prompt_id"], prompt_ids, completion_ids[:limit])


def _by_prompt(rows: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["prompt_id"]].append(row)
    return groups


def _chosen(
    policy: Policy, prompts: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], config: BestOfNConfig
) -> list[Encoded]:
    messages = {row["prompt_id"]: row["prompt"] for row in prompts}
    return [_sequence(policy, messages[row["prompt_id"]], row, config) for row in rows if row["best"]]


def _report(rows: Sequence[dict[str, Any]], num_chosen: int) -> dict[str, Any]:
    scores = [[row["score"] for row in group] for group in _by_prompt(rows).values()]
    curve = expected_best(scores)
    return {"curve": curve, "mean_score": curve[1], "num_prompts": len(scores), "num_chosen": num_chosen}
