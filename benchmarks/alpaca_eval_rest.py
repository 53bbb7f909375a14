"""AlpacaEval's published figures through the whole product: REST import, frozen verdicts, estimate run, document.

    python -m benchmarks.alpaca_eval_rest FOLDER

FOLDER holds published.csv and for each of its models MODEL.jsonl.gz. A new database under a temporary HONE_VAR; each
file is sent to POST verdicts/import as it is (unpacked), then a worker makes the overview that the files lack, and what
is compared is document.json. Exits with an error where a figure differs by more than 0.01. Their mean length is rounded
down, so ours is too.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

TOLERANCE = 0.01  # of percent, prompts and characters
FIGURES = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "avg_length")


def measured(folder: Path, names: list[str]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The figures of each model out of the document, and seconds spent."""
    rest_import = importlib.import_module("benchmarks.rest_import")  # sets Django up, for the new environment
    project, client = rest_import.new_project()
    started = time.perf_counter()
    for name in names:
        rest_import.send(client, project, gzip.decompress((folder / f"{name}.jsonl.gz").read_bytes()))
    sent = time.perf_counter()
    document = rest_import.overview(project)
    seconds = {"import": sent - started, "overview": time.perf_counter() - sent}
    return {name: figures(document, name) for name in names}, seconds


def figures(document: dict[str, Any], name: str) -> dict[str, float]:
    (version,) = [row for row in document["versions"] if row["name"] == name]
    (cell,) = [row for row in document["cells"] if row["candidate"] == version["id"] and row["split"] == "all"]
    return {
        "win_rate": 100 * cell["win_rate"],
        "standard_error": 100 * cell["standard_error"],
        "n_wins": cell["wins"],
        "n_wins_base": cell["losses"],
        "n_draws": cell["ties"],
        "avg_length": int(version["mean_characters"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.resolve()
    with (folder / "published.csv").open(encoding="utf-8") as file:
        published = {row["model"]: row for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as var:
        os.environ.update(HONE_VAR=var, DATABASE_URL="", DJANGO_SETTINGS_MODULE="config.settings")
        found, seconds = measured(folder, list(published))
    apart = {
        name: {key: found[name][key] - float(published[name][key]) for key in FIGURES} for name in published
    }  # fmt: skip
    worst = max(abs(value) for one in apart.values() for value in one.values())
    print("| model | win rate | standard error | wins | losses | draws | mean length | greatest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for name, one in found.items():
        largest = max(map(abs, apart[name].values()))
        shown = [f"{one['win_rate']:.2f}", f"{one['standard_error']:.2f}", *(f"{one[key]:.0f}" for key in FIGURES[2:])]
        print(f"| {name} | {' | '.join(shown)} | {largest:.1g} |")
    print(json.dumps({"greatest_difference": worst, **{key: round(value, 1) for key, value in seconds.items()}}))
    if worst > TOLERANCE:
        raise SystemExit(f"expected every published figure to {TOLERANCE}, found {apart}")


if __name__ == "__main__":
    main()
