"""The units of work of all proofs, done by processes side by side; each leaves a file, and one that has it is done."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console

from benchmarks.proofs import best_of_n_kl, failures, labels, overoptimisation, report_card, rounds
from benchmarks.proofs.numbers import Found, Number, Proof
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World

PROOFS: Mapping[str, Proof] = {
    module.PROOF.name: module.PROOF
    for module in (labels, rounds, overoptimisation, best_of_n_kl, failures, report_card)
}
# Seconds of one core that a unit of the full size takes, and a world before them: measured on worlds 100 and 101, but
# for rounds and worlds, which are estimates.
COST_S = {
    "labels": 200, "rounds": 300, "overoptimisation": 380, "best_of_n_kl": 1, "failures": 19, "report_card": 12,
}  # fmt: skip
WORLD_S = 110
NEED_A_WORLD = ("labels", "rounds", "overoptimisation", "failures")


def prepare(worlds: Path, seed: int, sizes: Sizes, with_alarms: bool) -> None:
    """What several units of a world share, made once before they start: SFT version and the reward models of alarms."""
    world = World(worlds / str(seed), seed, sizes)
    sft = world.sft()
    world.labels()
    if seed in sizes.seeds:
        world.completions(sft, world.held_out, "answers-0", 2)
    if with_alarms:
        failures.networks(world)


def work(worlds: Path, proof: str, key: str, sizes: Sizes) -> None:
    """One unit of a proof into its file; nothing where that is there."""
    place = unit_path(worlds, proof, key)
    if place.exists():
        return
    started = time.process_time()
    found = PROOFS[proof].compute(worlds, key, sizes)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps({"found": found, "cpu_s": time.process_time() - started}))
    part.rename(place)


def unit_path(worlds: Path, proof: str, key: str) -> Path:
    return worlds / "units" / proof / f"{key.replace('/', '-')}.json"


def collect(worlds: Path, proof: Proof, sizes: Sizes) -> tuple[Proof, list[Number], float]:
    """The numbers of a proof whose units are all done, and the processor time that they took."""
    units = {key: json.loads(unit_path(worlds, proof.name, key).read_text()) for key in proof.units(sizes)}
    found: dict[str, Found] = {key: unit["found"] for key, unit in units.items()}
    return proof, proof.numbers(found, sizes), sum(unit["cpu_s"] for unit in units.values())


def expected(worlds: Path, names: Sequence[str], sizes: Sizes) -> dict[str, float]:
    """Seconds of one core that the full size's work will take as far as it isn't done, by proof, and "worlds"."""
    left = {
        name: [key for key in PROOFS[name].units(sizes) if not unit_path(worlds, name, key).exists()] for name in names
    }
    seeds = {seed for seed in seeds_of(names, sizes) if not (worlds / str(seed) / "sft/result.json").exists()}
    return {"worlds": float(WORLD_S * len(seeds))} | {
        name: float(COST_S[name] * len(keys)) for name, keys in left.items()
    }


def seeds_of(names: Sequence[str], sizes: Sizes) -> set[int]:
    """Worlds that some proofs need."""
    seeds = set(sizes.seeds) if set(names) & set(NEED_A_WORLD) else set()
    return seeds | (set(sizes.calibration_seeds) if "failures" in names else set())


def everything(worlds: Path, names: Sequence[str], sizes: Sizes, workers: int, console: Console) -> None:
    """All units of some proofs, `workers` at a time; worlds first."""
    alarms = "failures" in names
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for done in _progress(
            [pool.submit(prepare, worlds, seed, sizes, alarms) for seed in sorted(seeds_of(names, sizes))],
            console,
            "world",
        ):
            done.result()
        jobs = [
            pool.submit(work, worlds, name, key, sizes)
            for name in names
            for key in PROOFS[name].units(sizes)
            if not unit_path(worlds, name, key).exists()
        ]
        for done in _progress(jobs, console, "unit"):
            done.result()


def _progress(jobs: Sequence[Future[None]], console: Console, what: str) -> Iterator[Future[None]]:
    started = time.monotonic()
    for count, done in enumerate(as_completed(jobs), 1):
        console.print(f"{what} {count} of {len(jobs)}, {time.monotonic() - started:.0f} s")
        yield done
