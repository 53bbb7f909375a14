"""An evaluation's document made by hand, in the shape of docs/evaluation.md, as large as a test wants it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rlhf.models import EvaluationSnapshot, Project
from tests.rlhf.rows import run
from tests.rlhf.rows import snapshot as frozen_rows

Document = dict[str, Any]


def cell(evaluation: int, candidate: int, baseline: int, judge: int, **asked: Any) -> Document:
    """100 prompts, 60 won, 10 tied, 30 lost, unless asked otherwise."""
    return {
        "evaluation": evaluation, "candidate": candidate, "baseline": baseline, "judge": judge, "split": "held_out",
        "num_prompts": 100, "num_verdicts": 200, "wins": 60, "ties": 6, "losses": 30, "unsettled": 4,
        "win_rate": 0.65, "standard_error": 0.045, "low": 0.56, "high": 0.74, "p": 0.001, "needed": 60, **asked,
    }  # fmt: skip


def version(pk: int, name: str, number: int | None = None, **asked: Any) -> Document:
    fields = {"kind": "ppo", "family": "", "num_answers": 100, "mean_characters": 200.0}
    return {"id": pk, "name": name, "number": number, **fields, **asked}


def judge(pk: int, name: str, kind: str, **asked: Any) -> Document:
    fields = {"identity": "f" * 64, "graded": False, "both_orders": False, "family": "", "trained": []}
    return {"id": pk, "name": name, "kind": kind, "num_verdicts": 200, **fields, **asked}


V0, V1 = version(1, "v0", 0), version(2, "v1", 1)
PEOPLE = judge(1, "people", "people")


def document(*, versions: list[Document], judges: list[Document], cells: list[Document], **pieces: Any) -> Document:
    empty: Document = {
        "slices": [], "hidden_slices": 0, "chain": [], "rankings": [], "controls": [], "positions": [],
        "agreement": [], "ceiling": None, "raters": None, "calibrated": [], "rewards": [], "alarms": [],
        "regressions": [],
    }  # fmt: skip
    head = {"format": 1, "seed": 0, "num_resamples": 1000, "confidence": 0.95, "num_verdicts": 200 * len(cells)}
    return {**head, "versions": versions, "judges": judges, "cells": cells, **empty, **pieces}


def store(project: Project, content: Document) -> EvaluationSnapshot:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    by = run(project, "estimate")
    return EvaluationSnapshot.objects.create(
        project=project, verdicts=frozen_rows(project, sha256=f"{by.pk:064d}"), run=by, attempt=1, document=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )  # fmt: skip


def full(
    num_versions: int = 3,
    first: int = 1,
    evaluations: dict[tuple[int, int], int] | None = None,
    judge_ids: tuple[int, int, int] = (1, 2, 3),
) -> Document:
    """Every pair of the versions judged by people, a language model and a reward model; every piece is there."""
    versions = [version(first + n, f"v{n}", n, mean_characters=200.0 + 40 * n) for n in range(num_versions)]
    ids = [row["id"] for row in versions]
    judges = [
        judge(judge_ids[0], "people", "people"),
        judge(judge_ids[1], "gpt-4", "llm", both_orders=True, graded=True, family="gpt"),
        judge(judge_ids[2], "reward model rm1", "reward_model", graded=True, trained=ids[1:]),
    ]
    pairs = [(new, old) for place, new in enumerate(ids) for old in ids[:place]]
    numbers = evaluations or {pair: place + 1 for place, pair in enumerate(pairs)}
    cells = [
        cell(numbers[pair], *pair, judge=by["id"], split=split, win_rate=0.62 + 0.05 * place,
             low=0.52 + 0.05 * place, high=0.72 + 0.05 * place)
        for pair in pairs for place, by in enumerate(judges) for split in ("held_out", "all")
    ]  # fmt: skip
    chain = list(zip(ids[1:], ids, strict=False))
    return document(
        versions=versions, judges=judges, cells=cells, hidden_slices=2,
        slices=[_slice(numbers[pair], by["id"], name) for pair in pairs for by in judges for name in ("letters", "")],
        chain=[_link(numbers[pair], *pair, by["id"]) for by in judges for pair in chain],
        rankings=[_ranking(by["id"], ids) for by in judges],
        controls=[_control(numbers[pair], by["id"]) for pair in chain for by in judges],
        positions=[{"judge": judge_ids[1], "num_pairs": 100, "consistency": 0.9, "num_first": 8, "num_second": 2,
                    "p": 0.11, "bias": 0.3, "low": -0.1, "high": 0.7}],
        agreement=[_agreement(by["id"]) for by in judges[1:]],
        ceiling={"agreement": 0.72, "low": 0.66, "high": 0.78, "num_pairs": 80},
        raters={"alpha": 0.41, "low": 0.3, "high": 0.52, "num_units": 60},
        calibrated=[_calibrated(numbers[pair], by["id"]) for pair in chain for by in judges[1:]],
        alarms=[{"evaluation": numbers[chain[-1]], "reward_judge": judge_ids[2], "judge": judge_ids[0], "level": "red",
                 "difference": 0.2, "low": 0.1, "high": 0.3,
                 "sentence": "The reward says better, people say worse."}],
        regressions=[] if num_versions < 3 else [
                     {"prompt": 7, "judge": judge_ids[0], "candidate": ids[-1], "baseline": ids[-2],
                      "before": numbers[chain[-2]],
                      "evaluation": numbers[chain[-1]], "score_before": 1.0, "score_now": 0.0}],
    )  # fmt: skip


def _slice(evaluation: int, by: int, category: str) -> Document:
    return {"evaluation": evaluation, "judge": by, "category": category, "num_prompts": 40, "win_rate": 0.7,
            "low": 0.58, "high": 0.82, "shrunk": 0.67, "q": 0.01 if category else 0.2,
            "wins": 25, "ties": 4, "losses": 9, "unsettled": 2}  # fmt: skip


def _link(evaluation: int, candidate: int, baseline: int, by: int) -> Document:
    return {"judge": by, "evaluation": evaluation, "candidate": candidate, "baseline": baseline, "p": 0.001,
            "p_holm": 0.002, "verdict": "better"}  # fmt: skip


def _ranking(by: int, ids: list[int]) -> Document:
    rows = [
        {"version": pk, "strength": 0.6 * n, "low": 0.6 * n - 0.3, "high": 0.6 * n + 0.3,
         "comparison_low": 0.6 * n - 0.2, "comparison_high": 0.6 * n + 0.2,
         "rank_low": len(ids) - n, "rank_high": min(len(ids), len(ids) - n + 1)}
        for n, pk in enumerate(ids)
    ]  # fmt: skip
    gaps = [{"candidate": new, "baseline": old, "gap": 0.6, "low": 0.3, "high": 0.9}
            for new, old in zip(ids[1:], ids, strict=False)]  # fmt: skip
    return {"judge": by, "state": "fitted", "reason": "", "tie_parameter": 0.3, "cycle": None, "versions": rows,
            "gaps": gaps}  # fmt: skip


def _control(evaluation: int, by: int) -> Document:
    return {"evaluation": evaluation, "judge": by, "raw": 0.72, "length": {"win_rate": 0.6, "low": 0.5, "high": 0.7},
            "style": {"win_rate": 0.58, "low": 0.47, "high": 0.69}, "length_ratio": 1.2, "differs": True}  # fmt: skip


def _agreement(by: int) -> Document:
    bins = [{"low": 0.38 + n / 10, "high": 0.58 + n / 10, "mean": 0.5 + n / 10, "rate": 0.48 + n / 10, "num": 10 + n}
            for n in range(5)]  # fmt: skip
    return {"judge": by, "num_pairs": 60, "agreement": 0.7, "agreement_without_ties": 0.75, "kappa": 0.44,
            "kappa_low": 0.3, "kappa_high": 0.58,
            "confusion": [[25, 3, 5], [2, 1, 2], [6, 0, 16]], "low": 0.6, "high": 0.8, "bins": bins, "ece": 0.05,
            "brier": 0.19, "signs": {"same": 2, "num": 2}, "spearman": None}  # fmt: skip


def _calibrated(evaluation: int, by: int) -> Document:
    return {"evaluation": evaluation, "judge": by, "win_rate": 0.61, "low": 0.53, "high": 0.69, "num_human": 60,
            "num_judged": 100, "weight": 0.7, "judge_win_rate": 0.72, "human_win_rate": 0.62}  # fmt: skip
