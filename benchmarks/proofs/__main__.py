"""Run the proofs: `python -m benchmarks.proofs [--only labels,rounds] [--quick] [--workers 2]`.

Each unit of work (a seed, a run) leaves a file under HONE_VAR/proofs, so that a run that was stopped goes on where it
was; stages that have their result aren't run again either. Results go to benchmarks/results/proofs.{md,json}, those of
--quick to proofs_quick, and only when every proof is done (not with --only). Exit code 1 where a promise doesn't hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.proofs import record
from benchmarks.proofs.sizes import FULL, QUICK
from benchmarks.proofs.units import PROOFS, collect, everything, expected

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"some of {', '.join(PROOFS)}, with commas")
    parser.add_argument("--quick", action="store_true", help="one seed and fewer runs")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(PROOFS)
    if unknown := set(names) - set(PROOFS):
        parser.error(f"--only: expected some of {', '.join(PROOFS)}, found {', '.join(sorted(unknown))}")
    sizes = QUICK if arguments.quick else FULL
    worlds = Path(os.environ.get("HONE_VAR", ROOT / "var")).absolute() / "proofs" / sizes.name
    console = Console(width=150)
    if sizes is FULL:
        cost = expected(worlds, names, sizes)
        parts = ", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in cost.items())
        console.print(f"{sum(cost.values()) / 60:.0f} minutes of one core expected: {parts}")
    everything(worlds, names, sizes, arguments.workers, console)
    done = {name: collect(worlds, PROOFS[name], sizes) for name in names}
    console.print(record.page(record.machine(), done, sizes), markup=False)
    if not arguments.only:
        record.write(arguments.results, "proofs" if sizes is FULL else f"proofs_{sizes.name}", done, sizes)
    return int(any(number.holds is False for _, numbers, _ in done.values() for number in numbers))


if __name__ == "__main__":
    sys.exit(main())
