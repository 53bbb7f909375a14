"""Pairs judged by a language model. It leans towards a place, so it is asked in both orders, and a wins only where it
wins in both: what isn't settled counts as a tie (MT-Bench, 2306.05685, section 3.4, swapping positions), and is told
apart from one by the two winners. Of verdicts by log-probabilities the two orders' are averaged (RLAIF, 2309.00267).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlhf.learning import checkpoint, judging, llm_judge, tables, verdicts, vllm_server
from rlhf.learning.configs import InputError, JudgeConfig
from rlhf.learning.journal import NAME as JOURNAL
from rlhf.learning.journal import Journal
from rlhf.learning.judging import Lines, Tally
from rlhf.learning.llm_judge import Judge, Pair, Verdict
from rlhf.learning.verifiers import visible
from rlhf.learning.work import Work

Verdicts = Sequence[tuple[Verdict, Verdict]]


class NoVerdict(InputError):
    """A language model said of too many pairs nothing that can be read; the message names the first ones."""


def run(folder: Path, config: JudgeConfig) -> None:
    if os.environ.get("RANK", "0") != "0":  # of several processes one asks
        return
    pairs = judging.read_pairs(folder)
    shown = [_pair(row, config) for row in pairs]
    order = judging.order(len(pairs), config.engine.seed)
    work = Work(folder, "judge", 2 * len(pairs), config.engine.report_to)
    work.begin()
    work.write_json(checkpoint.MACHINE, checkpoint.environment_of(1, "none"))
    tick = work.stop_if_asked
    with vllm_server.endpoint(config.backend, config.server, config.judge_model or "", folder, tick) as endpoint:
        judge = Judge(endpoint, config.asked, config.verdict, config.max_reply_tokens)
        in_turn = [shown[place] for place in order]
        found = llm_judge.compare(judge, in_turn, Journal(folder / JOURNAL), _telling(work), tick)
    of_place = dict(zip(order, found, strict=True))
    said = [of_place[place] for place in range(len(pairs))]
    _require_readable(pairs, said, config)
    rows = [_row(pair, *both, config.verdict) for pair, both in zip(pairs, said, strict=True)]
    work.write_rows(tables.JUDGE_ROWS, rows)
    num_cut = sum(_is_cut(row, config.max_characters) for row in pairs)
    work.finish(judging.means(rows) | _orders(said) | {"num_cut": num_cut}, ["rows.parquet"])


def probability(score_ab: float | None, score_ba: float | None, verdict: str = "text") -> float:
    """Of a, by its score where a is shown first and where b is: 1 or 0 where both orders name the same winner, else
    0.5; of log-probabilities the mean. NaN where one can't be read."""
    if score_ab is None or score_ba is None:
        return math.nan
    if verdict == "logprobs":
        return (score_ab + score_ba) / 2
    return score_ab if score_ab == score_ba else 0.5


def _telling(work: Work) -> Callable[[int, Verdicts], None]:
    lines = Lines(work, Tally())

    def on_verdict(num_answered: int, first: Verdicts) -> None:
        for ab, ba in first[len(lines.tally) :]:
            assert ab.score is not None and ba.score is not None  # those are left out
            lines.tally.add(ab.score, ba.score)
        lines.on_step(num_answered)

    return on_verdict


def _pair(row: dict[str, Any], config: JudgeConfig) -> Pair:
    if not row["prompt"]:
        raise InputError(
            f"{judging.TABLE}: pair {row['pair_id']}, field prompt: found no message, expected at least one"
        )
    limit = config.max_characters
    a, b = (visible(row[side], config.thinking_end)[:limit] for side in ("completion_a", "completion_b"))
    return Pair(row["prompt_id"], verdicts.conversation(row["prompt"])[-limit:], a, b)


def _is_cut(row: dict[str, Any], max_characters: int) -> bool:
    texts = (verdicts.conversation(row["prompt"]), row["completion_a"], row["completion_b"])
    return any(len(text) > max_characters for text in texts)


def _require_readable(pairs: Sequence[dict[str, Any]], said: Verdicts, config: JudgeConfig) -> None:
    bad = [pair["pair_id"] for pair, both in zip(pairs, said, strict=True) if None in (both[0].score, both[1].score)]
    if len(bad) > config.max_unreadable_share * len(pairs):
        expected = "[[A]], [[B]] or [[C]] at the end of all replies"
        if config.verdict == "logprobs":
            expected = f"the letters A, B and C to hold {verdicts.LEAST_MASS:g} of the first token in all replies"
        raise NoVerdict(
            f"{judging.TABLE}: found no readable verdict on {len(bad)} of {len(pairs)} pairs, the first are {bad[:10]}"
            f"; expected {expected} but a share of {config.max_unreadable_share:g} (max_unreadable_share)"
        )


def _row(pair: dict[str, Any], ab: Verdict, ba: Verdict, verdict: str) -> dict[str, Any]:
    found = probability(ab.score, ba.score, verdict)
    return judging.row(
        pair,
        found,
        1 - found,
        found,
        winner_ab=verdicts.winner(ab.score),
        winner_ba=verdicts.winner(ba.score),
        score_ab=math.nan if ab.score is None else ab.score,
        score_ba=math.nan if ba.score is None else ba.score,
        said_ab=ab.said[-judging.SAID :],
        said_ba=ba.said[-judging.SAID :],
    )


def _orders(said: Verdicts) -> dict[str, float]:
    """How often the two orders agree, and where they don't, whether it was the place that won."""
    winners = [(verdicts.winner(ab.score), verdicts.winner(ba.score)) for ab, ba in said]
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
