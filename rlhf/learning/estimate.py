"""An `estimate` run: verdicts in, win rates with intervals out. Needs no torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from rlhf.learning import checkpoint, tables
from rlhf.learning.configs import EstimateConfig
from rlhf.learning.stats.units import Verdict
from rlhf.learning.stats.win_rates import win_rates

_FIELDS = ("evaluation_id", "judge_id", "prompt_id", "split", "score", "rater", "position", "replicate")


def run(folder: Path, config: EstimateConfig) -> None:
    """Estimate every (evaluation, judge, split) of data/verdicts.parquet into rows.parquet."""
    path = folder / "data" / "verdicts.parquet"
    verdicts = tables.read_table(path, tables.VERDICTS)
    wrong = [row for row in verdicts if row["split"] not in ("train", "held_out") or not 0 <= row["score"] <= 1]
    if wrong:
        raise tables.TableError(f"{path}: expected splits train and held_out and scores from 0 to 1, found {wrong[0]}")
    found = win_rates((Verdict(**{name: row[name] for name in _FIELDS}) for row in verdicts), config.confidence)
    rows = [
        {"evaluation_id": evaluation_id, "judge_id": judge_id, "split": split} | dataclasses.asdict(rate)
        for (evaluation_id, judge_id, split), rate in found.items()
    ]
    tables.write_table(folder / "rows.parquet", tables.ESTIMATE_ROWS, rows)
    result = {
        "kind": "estimate",
        "metrics": {"num_verdicts": len(verdicts), "num_estimates": len(rows)},
        "outputs": {"rows.parquet": tables.sha256(folder / "rows.parquet")},
    }
    checkpoint.replace_text(folder / "result.json", json.dumps(result, indent=1))
