"""A `judge` run: pairs of completions, judged by a reward model or by a language model.

A reward model scores each completion alone, so it has no bias towards the one shown first. The probability that a is
preferred is sigma of the difference of raw scores, the scale on which the model was trained; the scores are normalised.

A language model has that bias, so it is asked in both orders, and a wins only where it wins in both: what isn't settled
counts as a tie (MT-Bench, 2306.05685, section 3.4, swapping positions), and is told apart from one by the two winners.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlhf.learning import distributed, llm_judge, loop, needs, reward_model, tables, vllm_server
from rlhf.learning.configs import InputError, JudgeConfig
from rlhf.learning.journal import NAME as JOURNAL
from rlhf.learning.journal import Journal
from rlhf.learning.llm_judge import Judge, Pair, Winner
from rlhf.learning.policy import require_room
from rlhf.learning.reading import reader

TABLE = "data/pairs.parquet"


class NoVerdict(InputError):
    """A language model said of too many pairs nothing that can be read; the message names the first ones."""


def run(folder: Path, config: JudgeConfig) -> None:
    """Judge every pair and write rows.parquet. A second start gives the same rows: a reward model scores again, and a
    language model is asked only for what journal.jsonl lacks."""
    if config.backend == "reward_model":
        _by_reward_model(folder, config)
    else:
        _by_language_model(folder, config)


def probability(winner_ab: Winner, winner_ba: Winner) -> float:
    """Of a: 1 or 0 where both orders name the same winner, NaN where one can't be read, else 0.5."""
    if "unreadable" in (winner_ab, winner_ba):
        return math.nan
    return {"a": 1.0, "b": 0.0}.get(winner_ab, 0.5) if winner_ab == winner_ba else 0.5


def _by_reward_model(folder: Path, config: JudgeConfig) -> None:
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    assert config.reward_model is not None  # checked by the configuration
    model = reward_model.load_trained(config.reward_model, device)
    require_room(model.network, config.text)
    pairs = tables.read_table(folder / TABLE, tables.PAIRS)
    as_read = reader(model.network, model.tokenizer, config.text, f"{TABLE}: pair")
    sequences = [
        as_read.answer(pair["pair_id"], pair["prompt"], pair[side])
        for pair in pairs
        for side in ("completion_a", "completion_b")
    ]
    work = loop.Run(folder, "judge", config.engine, total_steps=len(sequences))
    work.resume({}, {})
    work.log_first("estimate", estimate)

    def on_batch(done: int, total: int) -> None:
        work.step = done
        work.log("judge", {})
        work.stop_if_asked()

    with loop.autocast(config.engine, device):
        scores = reward_model.score(model, sequences, config.batch_size, on_batch)
    raw = torch.tensor(scores, dtype=torch.float64).reshape(-1, 2)  # (pairs, 2)
    normalised = model.normalised(raw).tolist()
    probabilities = torch.sigmoid(raw[:, 0] - raw[:, 1]).tolist()
    rows = [
        _row(pair, score_a, score_b, found)
        for pair, (score_a, score_b), found in zip(pairs, normalised, probabilities, strict=True)
    ]
    work.write_rows(tables.JUDGE_ROWS, rows)
    work.finish(_report(rows), ["rows.parquet"])


def _by_language_model(folder: Path, config: JudgeConfig) -> None:
    loop.set_up(config.engine)
    pairs = tables.read_table(folder / TABLE, tables.PAIRS)
    shown = [_pair(row, config.max_characters) for row in pairs]
    work = loop.Run(folder, "judge", config.engine, total_steps=2 * len(pairs))
    work.resume({}, {})

    def on_answer(done: int, total: int) -> None:
        work.step = done
        work.log("judge", {})

    def ask() -> list[tuple[Winner, Winner]]:
        tick = work.stop_if_asked
        with vllm_server.endpoint(config.backend, config.server, config.judge_model or "", folder, tick) as endpoint:
            judge = Judge(endpoint, config.question)
            return llm_judge.compare(judge, shown, config.max_reply_tokens, Journal(folder / JOURNAL), on_answer, tick)

    winners = distributed.from_main(ask)
    _require_readable(pairs, winners, config.max_unreadable_share)
    rows = [
        _row(pair, value, 1 - value, value, *both)
        for pair, both in zip(pairs, winners, strict=True)
        for value in [probability(*both)]
    ]
    work.write_rows(tables.JUDGE_ROWS, rows)
    num_cut = sum(_is_cut(row, config.max_characters) for row in pairs)
    work.finish(_report(rows) | _orders(winners) | {"num_cut": num_cut}, ["rows.parquet"])


def _pair(row: dict[str, Any], max_characters: int) -> Pair:
    if not row["prompt"]:
        raise InputError(f"{TABLE}: pair {row['pair_id']}, field prompt: found no message, expected at least one")
    talk = llm_judge.conversation(row["prompt"])[-max_characters:]
    return Pair(row["prompt_id"], talk, row["completion_a"][:max_characters], row["completion_b"][:max_characters])


def _is_cut(row: dict[str, Any], max_characters: int) -> bool:
    texts = (llm_judge.conversation(row["prompt"]), row["completion_a"], row["completion_b"])
    return any(len(text) > max_characters for text in texts)


def _require_readable(
    pairs: Sequence[dict[str, Any]], winners: Sequence[tuple[Winner, Winner]], max_share: float
) -> None:
    bad = [pair["pair_id"] for pair, both in zip(pairs, winners, strict=True) if "unreadable" in both]
    if len(bad) > max_share * len(pairs):
        raise NoVerdict(
            f"{TABLE}: found no readable verdict on {len(bad)} of {len(pairs)} pairs, the first are {bad[:10]}; "
            f"expected [[A]], [[B]] or [[C]] at the end of all replies but a share of {max_share:g} "
            "(max_unreadable_share)"
        )


def _row(
    pair: dict[str, Any], score_a: float, score_b: float, found: float, winner_ab: str = "", winner_ba: str = ""
) -> dict[str, Any]:
    return {
        "pair_id": pair["pair_id"],
        "prompt_id": pair["prompt_id"],
        "score_a": score_a,
        "score_b": score_b,
        "probability": found,
        "winner_ab": winner_ab,
        "winner_ba": winner_ba,
    }


def _report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the pairs that have a verdict; null where none has."""
    judged = [row for row in rows if not math.isnan(row["probability"])]
    names = ("score_a", "score_b", "probability")
    means = {name: sum(row[name] for row in judged) / len(judged) if judged else None for name in names}
    return {"num_pairs": len(rows), **means}


def _orders(winners: Sequence[tuple[Winner, Winner]]) -> dict[str, float]:
    """How often the two orders agree, and where they don't, whether it was the place that won."""
    read = [both for both in winners if "unreadable" not in both]
    same = sum(ab == ba for ab, ba in read)
    return {
        "num_unreadable": len(winners) - len(read),
        "num_unsettled": len(read) - same,
        "num_ties": sum(both == ("tie", "tie") for both in read),
        "num_first": sum(both == ("a", "b") for both in read),  # the answer shown first won twice
        "num_second": sum(both == ("b", "a") for both in read),
        "consistency": same / max(1, len(read)),
    }
