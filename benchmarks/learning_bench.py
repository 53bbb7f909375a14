"""What benchmarks/learning.py and learning_gpu.py run with: models to start from, and two sides measured in turn."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.console import Console
from scipy import stats

from benchmarks import learning_data as data
from benchmarks.learning_cases import Case
from benchmarks.learning_turns import Side, start, take_turns

Job = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
ATTENTIONS = ("sdpa", "eager")


def peer_python(name: str, folder: Path, console: Console) -> Path:
    """Python of a peer's environment, made from benchmarks/requirements/`name`.txt where there is none."""
    given = os.environ.get(f"HONE_{name.upper()}_PYTHON")
    if given:
        return Path(given)
    place = folder / "environments" / name
    requirements = ROOT / "benchmarks/requirements" / f"{name}.txt"
    done = place / "installed.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        console.print(f"installing {requirements.name} into {place}")
        venv.create(place, with_pip=True, clear=True)
        install = [str(place / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(requirements)], check=True, stderr=subprocess.DEVNULL)
        done.write_text(requirements.read_text())
    return place / "bin/python"


class Bench:
    """One run of a benchmark: where it works, and on what device."""

    def __init__(
        self, work: Path, console: Console, var: Path, *, device: str = "cpu", precision: str = "float32"
    ) -> None:
        self.work, self.console, self.var = work, console, var
        self.device, self.precision = device, precision
        self.attention: dict[str, str] = {}

    def model(self, case: Case, seed: int) -> Path:
        """The model that a case starts from: random weights, or those after SFT on the language."""
        base = data.make_model(case.size, self.work / f"model-{case.size.name}-{seed}", seed)
        if not case.job.get("from_sft"):
            return base
        folder = self.work / f"sft-{case.size.name}-{seed}"
        if not (folder / "result.json").exists():
            count = 4096 if case.size is data.DEMO else 128
            data.write_demonstrations(folder, data.demonstrations(case.size, count, seed + 100))
            small = case.size is data.DEMO
            job = {"batch_size": 32 if small else 8, "learning_rate": 2e-3 if small else 3e-4, "model": str(base)}
            self.run_alone(case, job | {"stage": "sft"}, folder, seed)
        return folder / "model"

    def reward_model(self, case: Case, seed: int, policy: Path) -> Path:
        """A reward model whose raw scores are what both sides train on: gain 1, bias 0."""
        folder = self.work / f"reward-{case.size.name}-{seed}"
        if not (folder / "result.json").exists():
            small = case.size is data.DEMO
            data.write_rankings(folder, data.rankings(case.size, 256 if small else 8, 4, seed + 100, 40))
            job = {"batch_size": 8 if small else 2, "learning_rate": 1e-3 if small else 1e-4, "model": str(policy)}
            self.run_alone(case, job | {"stage": "reward"}, folder, seed)
            path = folder / "model/config.json"
            raw = {"hone_reward_gain": 1.0, "hone_reward_bias": 0.0}
            path.write_text(json.dumps(json.loads(path.read_text()) | raw))
        return folder / "model"

    def run_alone(self, case: Case, job: Job, folder: Path, seed: int) -> None:
        """Our side by itself, for what both sides start from."""
        started = partial(self.start, case, "ours", job | {"attention": "sdpa", "steps_per_turn": 1}, folder, seed)
        take_turns([started], num_turns=0, together=True)

    def start(self, case: Case, side: str, job: Job, folder: Path, seed: int) -> Side:
        threads = case.size.num_threads
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
        name = side if side == "ours" else f"{side}-{job['attention']}"
        # Our runs write into their folder; the peer only reads the inputs in it.
        told = {"device": self.device, "precision": self.precision, "num_threads": threads, "seed": seed}
        told |= {"stage": case.stage, "num_warmup": case.num_warmup, "folder": str(folder), "out": str(folder / name)}
        told |= job
        python = Path(sys.executable) if side == "ours" else peer_python(case.environment, self.var, self.console)
        module = "benchmarks.learning_ours" if side == "ours" else "benchmarks.learning_peers"

        def command(turn_fd: int) -> Sequence[str]:
            path = folder / f"{name}.job"
            path.write_text(json.dumps(told | {"turn_fd": turn_fd}))
            return [str(python), "-m", module, str(path)]

        return start(name, command, folder / f"{name}.log", environment)

    def folder(self, case: Case, seed: int) -> Path:
        return self.work / f"{case.line}-{case.size.name}-{case.name}-{seed}".replace(" ", "_").replace(",", "")

    def compare(self, case: Case, seed: int) -> Job:
        """Both sides of a case with one seed; the peer with the attention that is faster for it."""
        folder = self.folder(case, seed)
        folder.mkdir(parents=True)
        case.write(folder, seed)
        policy = self.model(case, seed)
        job = case.job | {"model": str(policy), "steps_per_turn": case.steps_per_turn}
        if case.job.get("with_reward"):
            job["reward_model"] = str(self.reward_model(case, seed, policy))
        kind = f"{case.size.name} {case.stage} {case.name}"
        tried = [self.attention[kind]] if kind in self.attention else ATTENTIONS if self.device == "cpu" else ("sdpa",)
        starters = [partial(self.start, case, "ours", job | {"attention": "sdpa"}, folder, seed)]
        if case.environment:
            starters += [partial(self.start, case, "peer", job | {"attention": name}, folder, seed) for name in tried]
        take_turns(starters, case.num_turns, together=self.device == "cpu")
        found = {"seed": seed, "ours": json.loads((folder / "ours").read_text())}
        if case.environment:
            peers = {name: json.loads((folder / f"peer-{name}").read_text()) for name in tried}
            best = min(peers, key=lambda name: median(turn["cpu_s"] for turn in peers[name]["turns"]))
            self.attention[kind] = best
            found |= {"attention": best, "peer": peers[best]}
        return found


def summarise(case: Case, runs: Sequence[Job]) -> Job:
    """Ratios of the sums over the turns of all seeds, and the paired difference of quality with its 95 % interval.

    Not medians over turns: each side takes the rows in an order of its own, and only all turns together hold the same.
    """
    pairs = [pair for run in runs for pair in zip(run["ours"]["turns"], run["peer"]["turns"], strict=False)]
    found: Job = {"line": case.line, "case": case.name, "size": case.size.name, "target": case.target}
    for name in ("cpu", "wall"):
        key = f"{name}_s"
        ratios = sorted(peer[key] / ours[key] for ours, peer in pairs)
        total = sum(peer[key] for _, peer in pairs) / sum(ours[key] for ours, _ in pairs)
        found |= {f"{name}_ratio": total, f"{name}_low": ratios[0], f"{name}_high": ratios[-1]}
    differences = [run["ours"]["quality"] - run["peer"]["quality"] for run in runs]
    half = float("nan")
    if len(differences) > 1:
        spread = math.sqrt(sum((d - fmean(differences)) ** 2 for d in differences) / (len(differences) - 1))
        half = float(stats.t.ppf(0.975, len(differences) - 1)) * spread / math.sqrt(len(differences))
    yardsticks = [turn["yardstick_ms"] for pair in pairs for turn in pair]
    return found | {
        "num_turns": len(pairs),
        "yardstick_low": min(yardsticks),
        "yardstick_high": max(yardsticks),
        "quality_name": runs[0]["ours"]["quality_name"],
        "quality_ours": fmean(run["ours"]["quality"] for run in runs),
        "quality_peer": fmean(run["peer"]["quality"] for run in runs),
        "difference": fmean(differences),
        "half_width": half,
        "peak_mib_ours": max(run["ours"]["peak_mib"] for run in runs),
        "peak_mib_peer": max(run["peer"]["peak_mib"] for run in runs),
        "attention_of_peer": runs[0]["attention"],
        "runs": list(runs),
    }


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} processors"


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())
