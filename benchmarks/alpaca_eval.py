"""Real judgments: AlpacaEval's published figures out of its rows, and our length-controlled rate beside its own.

    python -m benchmarks.alpaca_eval FOLDER

FOLDER holds published.csv (rows of AlpacaEval's leaderboard) and for each of its models MODEL.jsonl.gz (a line a
prompt: instruction, candidate_output, baseline_output, preference). Prints whether win rate, standard error, wins,
draws and mean length come out to 0.01, and a table of length-controlled rates: the published one, ours with its
interval, and ours with a prompt's difficulty added, which is most of what tells them apart. No part of the estimator
was chosen by these files.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rlhf.learning.stats import style_control
from rlhf.learning.stats.alpaca_eval import Figures, figures
from rlhf.learning.style import style

Floats = NDArray[np.float64]
TOLERANCE = 0.01  # of percent, prompts and characters


@dataclass(frozen=True)
class Judged:
    """A model's rows: preferences (n,) from 1 to 2, and (n, 4) counts of its and the baseline's answers."""

    instructions: list[str]
    preferences: Floats
    candidate: Floats
    baseline: Floats


def read(path: Path) -> Judged:
    """Rows by instruction; those without a judgment are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for line in file if (row := json.loads(line))["preference"] is not None]
    rows.sort(key=lambda row: row["instruction"])
    return Judged(
        [row["instruction"] for row in rows],
        np.array([row["preference"] for row in rows]),
        *(np.array([_counts(row[key]) for row in rows]) for key in ("candidate_output", "baseline_output")),
    )


def differences(found: Figures, published: dict[str, str]) -> dict[str, float]:
    """Found less published, as far as both define it alike; their mean length is rounded down."""
    return {
        "win_rate": 100 * found.win_rate - float(published["win_rate"]),
        "standard_error": 100 * found.standard_error - float(published["standard_error"]),
        "n_wins": found.wins - float(published["n_wins"]),
        "n_draws": found.draws - float(published["n_draws"]),
        "avg_length": int(found.mean_characters) - float(published["avg_length"]),
    }


def with_difficulty(model: Judged, others: list[Judged]) -> float:
    """The length-controlled rate of all prompts with a term for each prompt's difficulty, 0 to 1.

    Difficulty is the logit of the other models' mean score on the prompt, centred: a stand-in for the published
    model's, which is fitted to all models of its leaderboard. The rate is the mean prediction at equal length.
    """
    known = [dict(zip(other.instructions, other.preferences - 1, strict=True)) for other in others]
    means = [np.mean([scores[name] for scores in known if name in scores]) for name in model.instructions]
    difficulty = logit(np.clip(means, 0.01, 0.99))
    difficulty -= difficulty.mean()
    apart = model.candidate[:, 0] - model.baseline[:, 0]
    design = np.column_stack([np.ones(len(apart)), np.tanh(apart / apart.std()), difficulty])
    beta = style_control.fit(design, model.preferences - 1.5, np.ones((1, len(apart))), np.zeros(3))[0]
    return float(expit(beta[0] + beta[2] * difficulty).mean())


def _counts(text: str) -> tuple[int, int, int, int]:
    found = style(text)
    return found.characters, found.headers, found.lists, found.bold


def _line(name: str, found: Figures, published: dict[str, str], difficult: float) -> str:
    length, control = found.controls.length, found.controls
    theirs = float(published["length_controlled_winrate"])
    cells = [
        name,
        f"{100 * control.raw:.2f}",
        f"{theirs:.1f}",
        f"{100 * length.win_rate:.1f} ({100 * length.low:.1f} to {100 * length.high:.1f})",
        f"{100 * length.win_rate - theirs:+.1f}",
        f"{100 * difficult:.1f}",
        f"{100 * difficult - theirs:+.1f}",
        f"{100 * control.overlap:.0f} %",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    with (folder / "published.csv").open(encoding="utf-8") as file:
        published = {row["model"]: row for row in csv.DictReader(file)}
    models = {name: read(folder / f"{name}.jsonl.gz") for name in published}
    found = {name: figures(one.preferences, one.candidate, one.baseline) for name, one in models.items()}
    apart = {name: differences(found[name], published[name]) for name in models}
    worst = max(abs(value) for one in apart.values() for value in one.values())
    print(f"{len(models)} models; greatest difference of {', '.join(next(iter(apart.values())))}: {worst:.2g}")
    print("| model | raw | published | ours (95 %) | less published | with difficulty | less published | as long |")
    print("|---|---|---|---|---|---|---|---|")
    for name in models:
        difficult = with_difficulty(models[name], [one for other, one in models.items() if other != name])
        print(_line(name, found[name], published[name], difficult))
    if worst > TOLERANCE:
        raise SystemExit(f"expected every published figure to {TOLERANCE}, found {apart}")


if __name__ == "__main__":
    main()
