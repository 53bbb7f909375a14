"""Learning against what people use: `python -m benchmarks.learning [--quick] [--only a,b,...] [--sizes demo,30M]`.

    (a) reward models on rankings of 2, 4 and 9, against TRL's RewardTrainer     (b) sampling, against `generate`
    (c) SFT on ragged rows, against TRL's SFTTrainer                             (d) a PPO iteration, against TRL 1.9's
    (e) RLOO and GRPO, against TRL's                                             (f) time to the first forward
    (g) peak memory of every stage, of both sides

Both sides run in one go, one after the other, in processes of their own; ratios are the peer's seconds over ours, of
processor time and of the clock (on a machine that others share the first is the one to read). Quality is compared over
the seeds: it counts as equal where the interval of the paired difference holds 0. Peers live in environments of their
own under HONE_VAR, made when missing (HONE_TRL_PYTHON, HONE_TRL_PPO_PYTHON name existing ones). With a GPU at hand
`python -m benchmarks.learning_gpu` does the same at 0.5 B and 1.5 B parameters.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks import learning_data as data
from benchmarks.learning_cases import Case, cases
from benchmarks.learning_start import start_times

Job = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
NUM_WARMUP = 2
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
    """One run of the benchmark: where it works, and what it has found."""

    def __init__(self, work: Path, console: Console, var: Path) -> None:
        self.work, self.console, self.var = work, console, var
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
            self.run(case, "ours", job | {"stage": "sft"}, folder, seed)
        return folder / "model"

    def reward_model(self, case: Case, seed: int, policy: Path) -> Path:
        folder = self.work / f"reward-{case.size.name}-{seed}"
        if not (folder / "result.json").exists():
            small = case.size is data.DEMO
            data.write_rankings(folder, data.rankings(case.size, 256 if small else 8, 4, seed + 100, 40))
            job = {"batch_size": 8 if small else 2, "learning_rate": 1e-3 if small else 1e-4, "model": str(policy)}
            self.run(case, "ours", job | {"stage": "reward"}, folder, seed)
        return folder / "model"

    def run(self, case: Case, side: str, job: Job, folder: Path, seed: int) -> Job:
        """One process of one side; returns what it measured."""
        environment = os.environ | {"OMP_NUM_THREADS": str(case.size.num_threads), "OMP_WAIT_POLICY": "passive"}
        told = {"device": "cpu", "precision": "float32", "num_threads": case.size.num_threads, "num_warmup": NUM_WARMUP}
        told |= {"seed": seed, "attention": "sdpa", "folder": str(folder), "out": str(folder / f"{side}.json")}
        told |= {"stage": case.stage} | job
        path = folder / f"job-{side}.json"
        path.write_text(json.dumps(told))
        if side == "ours":
            command = [sys.executable, "-m", "benchmarks.learning_ours", str(path)]
        else:
            python = peer_python(case.environment, self.var, self.console)
            command = [str(python), str(ROOT / "benchmarks/learning_peers.py"), str(path)]
        with (folder / f"{side}.log").open("w") as log:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{folder}/{side}.log: {(folder / f'{side}.log').read_text()[-1500:]}")
        found: Job = json.loads(Path(told["out"]).read_text())
        return found

    def compare(self, case: Case, seed: int) -> Job:
        """Both sides of a case with one seed; the peer with the attention that is faster for it."""
        label = f"{case.line}-{case.size.name}-{case.name}-{seed}".replace(" ", "_").replace(",", "")
        folder = self.work / label
        folder.mkdir(parents=True)
        case.write(folder, seed)
        policy = self.model(case, seed)
        job = case.job | {"model": str(policy)}
        if case.job.get("with_reward"):
            job["reward_model"] = str(self.reward_model(case, seed, policy))
        kind = f"{case.size.name} {case.stage}"
        sides = ["ours", "peer"] if seed % 2 == 0 else ["peer", "ours"]
        found = {}
        for side in sides:
            if side == "peer" and kind not in self.attention:
                tried = {name: self.run(case, "peer", job | {"attention": name}, folder, seed) for name in ATTENTIONS}
                self.attention[kind] = min(ATTENTIONS, key=lambda name: tried[name]["cpu_s"])
                found[side] = tried[self.attention[kind]]
            else:
                attention = self.attention.get(kind, "sdpa")
                found[side] = self.run(case, side, job | {"attention": attention}, folder, seed)
        return {"seed": seed, "attention": self.attention[kind], **found}


def summarise(case: Case, runs: Sequence[Job]) -> Job:
    """Ratios (geometric means over seeds) and the paired difference of quality with its 95 % interval."""
    ratios = {}
    for name in ("cpu_s", "wall_s"):
        logs = [math.log(run["peer"][name] / run["ours"][name]) for run in runs]
        ratios[name] = math.exp(sum(logs) / len(logs))
    differences = [run["ours"]["quality"] - run["peer"]["quality"] for run in runs]
    mean = sum(differences) / len(differences)
    half = float("nan")
    if len(differences) > 1:
        spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (len(differences) - 1))
        half = float(stats.t.ppf(0.975, len(differences) - 1)) * spread / math.sqrt(len(differences))
    return {
        "line": case.line,
        "case": case.name,
        "size": case.size.name,
        "target": case.target,
        "cpu_ratio": ratios["cpu_s"],
        "wall_ratio": ratios["wall_s"],
        "quality_name": runs[0]["ours"]["quality_name"],
        "quality_ours": sum(run["ours"]["quality"] for run in runs) / len(runs),
        "quality_peer": sum(run["peer"]["quality"] for run in runs) / len(runs),
        "difference": mean,
        "half_width": half,
        "peak_mib_ours": max(run["ours"]["peak_mib"] for run in runs),
        "peak_mib_peer": max(run["peer"]["peak_mib"] for run in runs),
        "attention_of_peer": runs[0]["attention"],
        "runs": list(runs),
    }


def show(console: Console, found: Sequence[Job], starts: Job) -> None:
    table = Table(title="seconds of the peer over ours, for the same step", title_justify="left")
    columns = ("", "case", "model", "processor", "wall", "asked", "quality, ours / peer", "difference", "peak MiB")
    for name in columns:
        table.add_column(name)
    for line in found:
        interval = f"{line['difference']:+.3f} ± {line['half_width']:.3f}"
        table.add_row(
            line["line"],
            line["case"],
            line["size"],
            f"{line['cpu_ratio']:.2f}x",
            f"{line['wall_ratio']:.2f}x",
            f"{line['target']}x" if line["target"] else "",
            f"{line['quality_ours']:.3f} / {line['quality_peer']:.3f} ({line['quality_name']})",
            "one seed" if math.isnan(line["half_width"]) else interval,
            f"{line['peak_mib_ours']:.0f} / {line['peak_mib_peer']:.0f}",
        )
    console.print(table)
    for name, seconds in starts.items():
        console.print(f"f  {name}: {seconds:.2f} s")


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = os.getloadavg()
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} processors, load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f} at the end"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed and a third of the rows: within 10 minutes")
    parser.add_argument("--only", default="a,b,c,d,e,f,g", help="lines, with commas; g is part of every other line")
    parser.add_argument("--sizes", default="demo,30M")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="learning", help="of the files under benchmarks/results")
    arguments = parser.parse_args()
    lines, sizes = arguments.only.split(","), arguments.sizes.split(",")
    seeds = range(1 if arguments.quick else arguments.seeds)
    RESULTS.mkdir(exist_ok=True)
    console = Console(width=170, record=True)
    var = Path(os.environ.get("HONE_VAR", tempfile.gettempdir())) / "benchmarks"
    with tempfile.TemporaryDirectory(prefix="hone-learning-") as work:
        bench = Bench(Path(work), console, var)
        found = []
        for case in cases(arguments.quick):
            if case.size.name in sizes and (case.line in lines or lines == ["g"]):
                found.append(summarise(case, [bench.compare(case, seed) for seed in seeds]))
                ratios = f"{found[-1]['cpu_ratio']:.2f}x, {found[-1]['wall_ratio']:.2f}x"
                console.print(f"{case.line} {case.size.name} {case.name}: {ratios}")
        starts = start_times(Path(work), peer_python("trl", var, console)) if "f" in lines else {}
    show(console, found, starts)
    console.print(machine())
    values = {"machine": machine(), "quick": arguments.quick, "lines": found, "starts": starts}
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(values, indent=1))
    heading = f"# Learning against its peers{', quick' if arguments.quick else ''}\n\n"
    how = "Output of `python -m benchmarks.learning`: TRL 1.16 (PPO: 1.9), transformers 5.23, torch 2.13.\n\n"
    (RESULTS / f"{arguments.name}.md").write_text(f"{heading}{how}```\n{console.export_text()}```\n")


if __name__ == "__main__":
    main()
