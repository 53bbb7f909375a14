"""Pairs judged by the targets of their prompts: whoever is right wins, and two right or two wrong answers are alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rlhf.learning import checkpoint, judging, tables, verifiers
from rlhf.learning.configs import InputError, JudgeConfig
from rlhf.learning.judging import Lines, Tally
from rlhf.learning.work import Work

TARGETS = "data/targets.parquet"


def run(folder: Path, config: JudgeConfig) -> None:
    """Raises InputError for a prompt without a target that the verifier can use."""
    if os.environ.get("RANK", "0") != "0":  # of several processes one has enough to do
        return
    pairs = judging.read_pairs(folder)
    targets = _targets(folder, config.verifier, pairs)
    work = Work(folder, "judge", len(pairs), config.engine.report_to)
    work.begin()
    work.write_json(checkpoint.MACHINE, checkpoint.environment_of(1, "none"))
    lines, rows = Lines(work, Tally()), dict[int, dict[str, Any]]()
    for place in judging.order(len(pairs), config.engine.seed):
        pair = pairs[place]
        a, b = (_is_right(config, pair[side], targets[pair["prompt_id"]]) for side in ("completion_a", "completion_b"))
        rows[place] = judging.row(pair, float(a), float(b), (1 + a - b) / 2)
        lines.tally.add((1 + a - b) / 2)
        lines.on_step(len(rows))
        work.stop_if_asked()
    in_order = [rows[place] for place in range(len(pairs))]
    work.write_rows(tables.JUDGE_ROWS, in_order)
    work.finish(judging.means(in_order), ["rows.parquet"])


def _is_right(config: JudgeConfig, completion: str, target: str) -> bool:
    return verifiers.is_right(config.verifier, verifiers.visible(completion, config.thinking_end), target)


def _targets(folder: Path, verifier: str, pairs: list[dict[str, Any]]) -> dict[int, str]:
    found = {row["prompt_id"]: row["answer"] for row in tables.read_table(folder / TARGETS, tables.TARGETS)}
    for pair in pairs:
        target = found.get(pair["prompt_id"], "")
        if expected := verifiers.problem(verifier, target):
            raise InputError(
                f"{TARGETS}: prompt {pair['prompt_id']}, field answer: expected {expected}, found {target!r}"
            )
    return found
