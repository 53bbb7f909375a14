"""Learning on a GPU: `python -m benchmarks.learning_gpu [--sizes 0.5B,1.5B] [--only sft,reward,sample,ppo,group]`.

Random weights of Qwen2.5's shape at 0.5 B and 1.5 B parameters, a vocabulary of 151,936 (as a Llama with biases: to a
folder of Qwen2 transformers gives Qwen's tokenizer, whatever lies in it), bfloat16 autocast over float32 weights:
tokens a second, model FLOP utilisation and peak GiB of SFT, reward model, sampling, PPO and GRPO, against TRL
1.16 (SFT, reward model, GRPO) and `generate` in the same run, one process after the other on the same device. How
operations are counted, and the bytes that bound decoding, stands in benchmarks/learning_flops.py; peaks are the makers'
dense bfloat16 numbers where the device is known (PEAKS), else measured, and the measured ones are reported in any case.
Sampling's time includes reading the prompts, though its limit is that of decoding alone. Results go to
benchmarks/results/learning_gpu_DEVICE.{md,json}.

`--rehearse` walks the same path with toy models on the CPU, to see that everything is in place; it says nothing about
speed and writes no result. This project has not had a GPU to run it on yet.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import learning_data as data
from benchmarks.learning_bench import ROOT, Bench
from benchmarks.learning_cases import Case
from benchmarks.learning_data import Size
from benchmarks.learning_flops import Model, decoding_bytes, forward, shared

Job = dict[str, Any]
RESULTS = ROOT / "benchmarks/results"
PEAKS = {  # dense bfloat16 FLOP/s and bytes/s, from the makers' data sheets
    "H200": (989e12, 4.8e12),
    "H100 PCIe": (756e12, 2.0e12),
    "H100": (989e12, 3.35e12),
    "A100-SXM4-80GB": (312e12, 2.04e12),
    "A100": (312e12, 1.55e12),
    "L40S": (362e12, 0.864e12),
    "RTX 4090": (165e12, 1.01e12),
}


@dataclass(frozen=True)
class Scale:
    """How much of everything a run takes; the rehearsal takes little."""

    batch_size: int  # rows of a step of SFT
    prompt: int  # tokens of a sampling prompt
    new_tokens: int
    rows: int  # decoded together
    rollouts: int
    micro_batch_size: int
    steps_per_turn: int


SHAPES = {
    "0.5B": Model(896, 24, 14, 2, 4864, 151_936),
    "1.5B": Model(1536, 28, 12, 2, 8960, 151_936),
    "toy": Model(64, 2, 4, 2, 128, 768),
}
SCALES = {
    "0.5B": Scale(32, 512, 256, 64, 64, 16, 4),
    "1.5B": Scale(16, 512, 256, 64, 64, 8, 4),
    "toy": Scale(4, 24, 8, 4, 8, 4, 1),
}


def size_of(name: str) -> Size:
    shape = SHAPES[name]
    layers = {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "intermediate_size": shape.intermediate,
    }
    prompt, completion = ((8, 24), (4, 16)) if name == "toy" else ((64, 512), (16, 256))
    return Size(name, layers, shape.vocabulary, prompt, completion, 1 if name == "toy" else 8, attention_bias=True)


def cases(name: str) -> dict[str, Case]:
    """By stage; where TRL 1.16 has nothing alike (PPO) without a peer."""
    size, scale, turns = size_of(name), SCALES[name], 2 if name == "toy" else 5
    steps = 2 + turns * scale.steps_per_turn

    def demonstrations(folder: Path, seed: int) -> None:
        count = -(-steps * scale.batch_size * 8 // 7)
        data.write_demonstrations(folder, data.demonstrations(size, count, seed))

    def rankings(folder: Path, seed: int) -> None:
        data.write_rankings(folder, data.rankings(size, steps * scale.batch_size // 2, 2, seed, 8))

    def prompts(count: int, length: int | None, targets: bool = False) -> Callable[[Path, int], None]:
        return lambda folder, seed: data.write_prompts(folder, data.prompts(size, count, seed, length), targets)

    rate = {"learning_rate": 1e-5}
    rollouts = {"micro_batch_size": scale.micro_batch_size, "max_new_tokens": scale.new_tokens} | rate
    rollouts |= {"num_iterations": 1 + turns, "kl_coefficient": 0.02}
    group = {"algorithm": "grpo", "num_prompts": scale.rollouts // 8 or 1, "group_size": 8, "target_id": 9}
    ppo = {"num_rollouts": scale.rollouts, "minibatch_size": scale.rollouts // 2, "num_epochs": 1, "with_reward": True}
    sampling = {"num_passes": 1 + turns, "num_samples": 1, "stop_ids": [], "batch_size": scale.rows}
    per_turn = scale.steps_per_turn
    return {
        "sft": Case("6", "SFT, ragged lengths", size, "sft", 1.3, demonstrations,
                    rate | {"batch_size": scale.batch_size}, per_turn, turns),
        "reward": Case("6", "reward model, K = 2", size, "reward", 1.3, rankings,
                       rate | {"batch_size": scale.batch_size // 2, "pairs_per_ranking": 1}, per_turn, turns),
        "sample": Case("6", "sampling, equal lengths", size, "sample", 0, prompts(scale.rows, scale.prompt),
                       sampling | {"max_new_tokens": scale.new_tokens}, 1, turns, 1),
        "ppo": Case("6", "one PPO iteration", size, "ppo", 0, prompts(64, None), rollouts | ppo, 1, turns, 1, ""),
        "group": Case("6", "GRPO", size, "group", 0, prompts(64, None, targets=True), rollouts | group, 1, turns, 1),
    }  # fmt: skip


def needs(stage: str, model: Model, scale: Scale, folder: Path) -> tuple[float, float]:
    """(tokens, operations) of one step, on average over the rows of the folder. Of rollouts, tokens are the written
    ones: random weights all but never end a completion, so all have the same number."""
    rows = json.loads((folder / "tokens.json").read_text())
    if stage == "sft":
        sizes = [(len(r["prompt"]), len(r["completion"])) for r in rows if r["split"] == "train"]
        flops = fmean(3 * forward(model, prompt + tokens, tokens) for prompt, tokens in sizes)
        return scale.batch_size * fmean(map(sum, sizes)), scale.batch_size * flops
    if stage == "reward":
        pairs = [r for r in rows if r["split"] == "train"]
        prompts = [len(os.path.commonprefix([r["chosen"], r["rejected"]])) for r in pairs]
        tails = [(len(r["chosen"]) - p, len(r["rejected"]) - p) for r, p in zip(pairs, prompts, strict=True)]
        flops = fmean(3 * shared(model, p, tail) for p, tail in zip(prompts, tails, strict=True))
        tokens = fmean(len(r["chosen"]) + len(r["rejected"]) for r in pairs)
        return scale.batch_size // 2 * tokens, scale.batch_size // 2 * flops
    written, lengths = scale.new_tokens, [len(ids) for ids in rows]
    policy = fmean(forward(model, length + written, written) for length in lengths)
    value = fmean(forward(model, length + written, 0) for length in lengths)
    if stage == "sample":
        return scale.rows * written, scale.rows * policy
    if stage == "ppo":  # written, old, reference, and trained; value and score, and trained
        return scale.rollouts * written, scale.rollouts * (6 * policy + 5 * value)
    count = max(8, scale.rollouts)
    return count * written, count * 5 * policy  # written, reference, and trained


def peaks(device: str, name: str) -> Job:
    """FLOP/s and bytes/s: of the data sheet where there is one, and measured with a product and a copy."""
    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    measured = {"flops": 2 * size**3 / _seconds(lambda: a @ b, device)}
    source = torch.empty(2**29 if device == "cuda" else 2**22, device=device, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    # Read once and written once.
    measured["bytes"] = 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)
    sheet = next((PEAKS[key] for key in PEAKS if key in name), None)
    flops, transfer = sheet or (measured["flops"], measured["bytes"])
    return {"flops": flops, "bytes": transfer, "measured": measured, "source": "data sheet" if sheet else "measured"}


def _seconds(work: Callable[[], object], device: str) -> float:
    found = []
    for _ in range(12):
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return median(found[2:])


def line(name: str, stage: str, found: Job, tokens: float, flops: float, peak: Job) -> Job:
    """What one comparison says."""
    sides: dict[str, Job] = {}
    for side in ("ours", "peer"):
        if side in found:
            seconds = median(turn["wall_s"] for turn in found[side]["turns"])
            sides[side] = {"seconds": seconds, "tokens_per_s": tokens / seconds, "mfu": flops / seconds / peak["flops"]}
            sides[side]["gib"] = found[side].get("gpu_gib", found[side]["peak_mib"] / 1024)
            if stage == "sample":
                scale = SCALES[name]
                context = scale.prompt + scale.new_tokens / 2
                limit = scale.rows * peak["bytes"] / decoding_bytes(SHAPES[name], scale.rows, context)
                sides[side]["of_limit"] = tokens / seconds / limit
    ratio = sides["peer"]["seconds"] / sides["ours"]["seconds"] if "peer" in sides else None
    return {"size": name, "stage": stage, "ratio": ratio, **sides, "runs": found}


def table(lines: Sequence[Job]) -> Table:
    made = Table(title="ours / peer")
    for column in ("model", "stage", "ratio", "tokens/s", "MFU", "of the decoding limit", "peak GiB"):
        made.add_column(column)
    for one in lines:
        sides = [one[side] for side in ("ours", "peer") if side in one]
        made.add_row(
            one["size"],
            one["stage"],
            f"{one['ratio']:.2f}x" if one["ratio"] else "no peer",
            " / ".join(f"{side['tokens_per_s']:,.0f}" for side in sides),
            " / ".join(f"{side['mfu']:.1%}" for side in sides),
            " / ".join(f"{side['of_limit']:.1%}" for side in sides if "of_limit" in side),
            " / ".join(f"{side['gib']:.1f}" for side in sides),
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="0.5B,1.5B")
    parser.add_argument("--only", default="sft,reward,sample,ppo,group")
    parser.add_argument("--rehearse", action="store_true", help="toy models on the CPU; says nothing about speed")
    asked = parser.parse_args()
    if not asked.rehearse and not torch.cuda.is_available():
        sys.exit("benchmarks.learning_gpu: found no CUDA device, expected one (--rehearse walks its path on the CPU)")
    device = "cpu" if asked.rehearse else "cuda"
    name = "the rehearsal's CPU" if asked.rehearse else torch.cuda.get_device_name()
    console, peak, lines = Console(width=140, record=True), peaks(device, name), []
    console.print(f"{name}: {peak['flops'] / 1e12:.2f} TFLOP/s, {peak['bytes'] / 1e9:.1f} GB/s ({peak['source']})")
    var = Path(os.environ.get("HONE_VAR", tempfile.gettempdir())) / "benchmarks"
    with tempfile.TemporaryDirectory(prefix="hone-learning-gpu-") as work:
        bench = Bench(Path(work), console, var, device=device, precision="bfloat16")
        for size in ["toy"] if asked.rehearse else asked.sizes.split(","):
            for stage, case in cases(size).items():
                if stage in asked.only.split(","):
                    found = bench.compare(case, 0)
                    tokens, flops = needs(stage, SHAPES[size], SCALES[size], bench.folder(case, 0))
                    lines.append(line(size, stage, found, tokens, flops, peak))
                    console.print(f"{size} {stage}: {lines[-1]['ours']['tokens_per_s']:,.0f} tokens/s")
    console.print(table(lines))
    if not asked.rehearse:
        path = RESULTS / f"learning_gpu_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}"
        path.with_suffix(".json").write_text(
            json.dumps({"device": name, "peak": peak, "lines": lines}, indent=1) + "\n"
        )
        text = "\n".join(part.rstrip() for part in console.export_text().splitlines())
        path.with_suffix(".md").write_text(
            f"# Learning on {name}\n\n`python -m benchmarks.learning_gpu`\n\n```\n{text}\n```\n"
        )


if __name__ == "__main__":
    main()
