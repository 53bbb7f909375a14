"""Line (f): seconds from asking for a run to its first forward, warm and cold, and what TRL's imports alone cost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import learning_data as data
from rlhf.learning.starter import Starter

_TRL = (
    "import torch; from trl import SFTTrainer, RewardTrainer; from transformers import AutoModelForCausalLM as M; "
    "M.from_pretrained({model!r})(torch.ones(1, 1, dtype=torch.int64))"
)


def start_times(work: Path, peer: Path) -> dict[str, float]:
    """Medians of five warm starts (wall seconds), and processor seconds of a cold start, ours and TRL's."""
    model = data.make_model(data.DEMO, work / "model-start", 0)
    warm = []
    with Starter() as starter:
        for number in range(6):
            folder = _folder(work / f"start-{number}", model)
            started = time.time()
            code = starter.run(kind="sample", folder=folder).wait(120)
            assert code == 0, (folder / "log.txt").read_text()
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            warm.append(next(line["time"] for line in lines if line["phase"] == "sample") - started)
    cold = _cpu_seconds([sys.executable, "-m", "rlhf.learning", "sample", str(_folder(work / "start-cold", model))])
    theirs = _cpu_seconds([str(peer), "-c", _TRL.format(model=str(model))])
    return {
        "warm start to the first forward, wall": sorted(warm[1:])[2],  # the first one waits for the starter's imports
        "cold start to the first forward, processor": cold,
        "TRL's imports and a first forward, processor": theirs,
    }


def _folder(folder: Path, model: Path) -> Path:
    data.write_prompts(folder, data.prompts(data.DEMO, 1, 0))
    config = {
        "model": str(model),
        "engine": {"device": "cpu", "checkpoint_every": 0},
        "text": {"prompt_format": "chat", "max_prompt_tokens": 64, "max_completion_tokens": 1},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
