"""A `judge` run: pairs of completions, judged by a reward model, a language model or a verifier.

Torch-free by itself: a judge behind a server, and one that compares answers with a target, start without the seconds
that torch takes, and never hold a device.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from rlhf.learning.configs import JudgeConfig

# Imported by name, as the stages are: only a reward model needs torch.
BACKENDS = {
    "reward_model": "rlhf.learning.judge_by_reward",
    "openai": "rlhf.learning.judge_by_language",
    "vllm": "rlhf.learning.judge_by_language",
    "verifier": "rlhf.learning.judge_by_verifier",
}


def run(folder: Path, config: JudgeConfig) -> None:
    """Judge every pair, in an order drawn by the seed, and write rows.parquet in the pairs' own. A second start gives
    the same rows: scores are computed again, and a language model is asked only for what journal.jsonl lacks."""
    importlib.import_module(BACKENDS[config.backend]).run(folder, config)
