"""A `best_of_n` run: N completions per prompt, the best by reward kept, SFT on those.

Rejection sampling as in Llama 2, section 3.2.3, from the current policy and on training prompts alone. A completion
without end-of-text is never the best: it would teach the policy not to end. A prompt is left out of the SFT where no
completion ended, or where all scores are equal, since nothing was chosen. The curves count every sample. With a bag the
best answers of earlier rounds stand beside those of this one, scored by this one's reward model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from rlhf.learning import checkpoint, distributed, loop, needs, reward_model, samples, scoring, tables
from rlhf.learning.bag import merge, next_round
from rlhf.learning.configs import BestOfNConfig, InputError
from rlhf.learning.journal import NAME as JOURNAL
from rlhf.learning.journal import Journal, key_of
from rlhf.learning.noise import mix
from rlhf.learning.policy import Policy, load_policy, require_room, save_policy
from rlhf.learning.reading import PROMPT, read_split, reader
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.sampling import sample_by_server, sample_locally, sample_rows
from rlhf.learning.sft import by_held_out_loss, fit, num_steps
from rlhf.learning.stats.expected_best import expected_best, expected_median, kl_upper_bound
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
    every_prompt = read_split(path, tables.PROMPTS, "prompt_id")
    prompts = [row for row in every_prompt if row["split"] == "train"]
    if not prompts:
        raise NothingChosen(f"{path}: found no prompt of the train split, expected at least one")
    work = loop.Run(folder, "best_of_n", config.engine, num_steps(len(prompts), config.batch_size, config.num_epochs))
    if not (folder / "rows.parquet").exists():
        if distributed.is_main():
            checkpoint.cut_metrics(folder, -1)  # an attempt that was stopped while it sampled; this one samples anew
        work.log_first("estimate", estimate)
        rows, bag = _sample_and_score(policy, prompts, work, config)
        if config.bag_size and distributed.is_main():
            tables.write_table(folder / "bag.parquet", tables.BAG, bag)
        work.write_rows(tables.BEST_OF_N_ROWS, rows)  # last: it says that all this is done
        distributed.wait_for_all()
    rows = tables.read_table(folder / "rows.parquet", tables.BEST_OF_N_ROWS)
    bag = tables.read_table(folder / "bag.parquet", tables.BAG) if config.bag_size else []
    # 2. SFT on the best.
    chosen = _chosen(policy, prompts, rows, bag, config)
    if not chosen:
        raise NothingChosen(f"{path}: found no prompt with a completion that ended and scored above another one")
    training, held_out = split(chosen, config)
    work.total_steps = num_steps(len(training), config.batch_size, config.num_epochs)
    learner = loop.Learner(policy.model, config.optimizer, work.total_steps)
    selection = by_held_out_loss(policy, held_out, config.evaluate_every, config.micro_batch_size)
    selection.resume(work.resume({"policy": policy.model} | selection.models, {"policy": learner}))
    samples.watch(work, policy, every_prompt, config.text, config.sampling.temperature)
    fit(
        work,
        learner,
        policy,
        training,
        num_epochs=config.num_epochs,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        selection=selection,
    )
    best = selection.restore() | ({"num_held_out": len(held_out)} if held_out else {})
    # 3. Results.
    save_policy(policy, folder / "model")
    outputs = ["model", "rows.parquet", *(["bag.parquet"] if config.bag_size else [])]
    work.finish(_report(rows, bag, len(chosen)) | best, outputs)


def choose(scores: Sequence[float], finished: Sequence[bool]) -> int | None:
    """Index of the best of a prompt's completions: the highest score of those that ended; the first of equals.

    None where none ended, or where all scores (of those that didn't end too) are equal.
    """
    if not any(finished) or min(scores) == max(scores):
        return None
    return max((index for index, ended in enumerate(finished) if ended), key=lambda index: (scores[index], -index))


def pick_any(seed: int, prompt_id: int, scores: Sequence[float], finished: Sequence[bool]) -> int | None:
    """Index of any completion that ended, each as likely as the next; None where `choose` has none."""
    if choose(scores, finished) is None:
        return None
    ended = [index for index, done in enumerate(finished) if done]
    return ended[int(np.random.default_rng([seed, abs(prompt_id), 3]).integers(len(ended)))]


def split(chosen: Sequence[Encoded], config: BestOfNConfig) -> tuple[list[Encoded], list[Encoded]]:
    """What is trained on, and the answers to `held_out_share` of the prompts, that the best step is chosen by; none
    without `evaluate_every`. A draw belongs to its prompt: rounds with one seed hold out much the same ones."""
    if not config.evaluate_every:
        return list(chosen), []
    ids = sorted({one.row_id for one in chosen})
    ids.sort(key=lambda prompt_id: np.random.default_rng([config.engine.seed, abs(prompt_id), 4]).random())
    kept_out = set(ids[: min(len(ids) - 1, max(1, round(config.held_out_share * len(ids))))])
    return [one for one in chosen if one.row_id not in kept_out], [one for one in chosen if one.row_id in kept_out]


def _sample_and_score(
    policy: Policy, prompts: Sequence[dict[str, Any]], work: loop.Run, config: BestOfNConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of tables.BEST_OF_N_ROWS and tables.BAG."""
    rows = _sample(policy, prompts, work, config)
    model = reward_model.load_trained(config.reward_model, policy.model.device)
    scorer, journal = scoring.scorer_of(model), Journal(work.folder / JOURNAL, writes=distributed.is_main())
    path = work.folder / "data" / "bag.parquet"
    old = tables.read_table(path, tables.BAG) if config.bag_size and path.exists() else []
    messages = {row["prompt_id"]: row["prompt"] for row in (*old, *prompts)}
    asked = [*rows, *(row | {"finished": True} for row in old)]
    keys = [key_of(scorer, messages[r["prompt_id"]], r["completion"], r["finished"]) for r in asked]
    known = {key: row["score"] for key, row in zip(keys[len(rows) :], old, strict=True) if row["scorer"] == scorer}
    todo = [(key, row) for key, row in zip(keys, asked, strict=True) if key not in known]
    sequences = [_sequence(model, messages[row["prompt_id"]], row, config) for _, row in todo]
    with loop.autocast(config.engine, policy.model.device):
        num_made = scoring.score_once(
            model,
            [key for key, _ in todo],
            sequences,
            config.sampling.batch_size,
            journal,
            partial(_log_batch, work, "score"),
        )
    score_of = journal.values | known
    work.log("scored", {"num_scored": num_made, "num_reused": len(asked) - num_made})
    rows = [row | {"score": score_of[key], "best": False} for row, key in zip(rows, keys, strict=False)]
    _mark(rows, config)
    old = [row | {"score": score_of[key], "scorer": scorer} for row, key in zip(old, keys[len(rows) :], strict=True)]
    return rows, merge(old, _for_bag(rows, messages, scorer, next_round(old)), config.bag_size)


def _log_batch(work: loop.Run, phase: str, done: int, total: int) -> None:
    work.log(phase, {"done": done, "total": total})
    work.stop_if_asked()


def _sample(
    policy: Policy, prompts: Sequence[dict[str, Any]], work: loop.Run, config: BestOfNConfig
) -> list[dict[str, Any]]:
    """num_samples rows of every prompt at each temperature, prompt by prompt, without their scores."""
    temperatures = config.temperatures or (config.sampling.temperature,)
    found: list[dict[str, Any]] = []
    for number, temperature in enumerate(temperatures):
        sampling = replace(config.sampling, temperature=temperature)
        # Answers at two temperatures must not share their noise; those at the first have that of a run without others.
        engine = replace(config.engine, seed=mix(config.engine.seed, number) >> 1 if number else config.engine.seed)
        on_batch = partial(_log_batch, work, "sample")
        if sampling.backend == "local":
            drawn = sample_locally(policy, prompts, sampling, config.text, engine, on_batch)
        else:
            as_read = reader(policy.model, policy.tokenizer, config.text, PROMPT)
            ask = partial(sample_by_server, config.model, as_read, prompts, sampling, engine.seed, work.folder)
            drawn = distributed.from_main(partial(ask, on_batch, work.stop_if_asked))
        first = number * sampling.num_samples
        found += [
            row | {"sample_index": first + row["sample_index"], "temperature": temperature}
            for row in sample_rows(policy.tokenizer, drawn)
        ]
    order = {row["prompt_id"]: place for place, row in enumerate(prompts)}
    return sorted(found, key=lambda row: (order[row["prompt_id"]], row["sample_index"]))


def _mark(rows: Sequence[dict[str, Any]], config: BestOfNConfig) -> None:
    """Set `best` of the one completion of each prompt that is trained on."""
    for prompt_id, group in _by_prompt(rows).items():
        scores, finished = [row["score"] for row in group], [row["finished"] for row in group]
        best = choose(scores, finished)
        if config.select == "random":
            best = pick_any(config.engine.seed, prompt_id, scores, finished)
        if best is not None:
            group[best]["best"] = True


def _for_bag(
    rows: Sequence[dict[str, Any]], messages: dict[int, list[dict[str, str]]], scorer: str, number: int
) -> list[dict[str, Any]]:
    """What may go into the bag: completions that ended, of prompts where something was chosen."""
    return [
        {name: row[name] for name in ("prompt_id", "completion", "num_tokens", "score")}
        | {"prompt": messages[row["prompt_id"]], "scorer": scorer, "round": number}
        for group in _by_prompt(rows).values()
        if any(row["best"] for row in group)
        for row in group
        if row["finished"]
    ]


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
    policy: Policy,
    prompts: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
    bag: Sequence[dict[str, Any]],
    config: BestOfNConfig,
) -> list[Encoded]:
    """What is trained on: the bag where one is kept, else the best of this round."""
    if config.bag_size:
        return [_sequence(policy, row["prompt"], row | {"finished": True}, config) for row in bag]
    messages = {row["prompt_id"]: row["prompt"] for row in prompts}
    return [_sequence(policy, messages[row["prompt_id"]], row, config) for row in rows if row["best"]]


def _report(rows: Sequence[dict[str, Any]], bag: Sequence[dict[str, Any]], num_chosen: int) -> dict[str, Any]:
    """Curves by temperature, those of the best one apart, and what choosing was worth beside a random choice."""
    sweep = {}
    for temperature in sorted({row["temperature"] for row in rows}):
        at_it = _by_prompt([row for row in rows if row["temperature"] == temperature])
        scores = [[row["score"] for row in group] for group in at_it.values()]
        sweep[temperature] = {"best": expected_best(scores), "median": expected_median(scores)}
    size = len(next(iter(sweep.values()))["best"])
    best = max(sweep, key=lambda temperature: sweep[temperature]["best"][size])
    groups = [group for group in _by_prompt(rows).values() if any(row["best"] for row in group)]
    ended = [[row["score"] for row in group if row["finished"]] for group in groups]
    report = {
        "curve": sweep[best]["best"],
        "median_curve": sweep[best]["median"],
        "kl_upper_bound": kl_upper_bound(size),  # of choosing among N at one temperature, nats a completion
        "mean_score": sweep[best]["best"][1],
        "best_temperature": best,
        "sweep": sweep,
        "num_prompts": len(_by_prompt(rows)),
        "num_chosen": num_chosen,
        "chosen_score": fmean(row["score"] for group in groups for row in group if row["best"]) if groups else None,
        "random_score": fmean(fmean(scores) for scores in ended) if groups else None,
    }
    if bag:
        report["num_from_earlier_rounds"] = sum(row["round"] < max(r["round"] for r in bag) for row in bag)
    return report
