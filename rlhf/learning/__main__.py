"""`python -m rlhf.learning KIND FOLDER`: one run, from a folder to the same folder.

With several processes: `torchrun --standalone --nproc-per-node N -m rlhf.learning KIND FOLDER`.

Exit codes: 0 done; 2 bad input, told in one sentence on standard error; 3 stopped by SIGTERM, with a checkpoint to go
on from (or before the first step); anything else is a crash.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

from rlhf.learning import checkpoint, configs, lifeline

DONE, BAD_INPUT, STOPPED = 0, 2, 3

# Imported by name and only when asked for: torch and transformers cost seconds, and `estimate` needs neither.
STAGES = {
    "sft": "rlhf.learning.sft",
    "reward": "rlhf.learning.reward",
    "sample": "rlhf.learning.sampling",
    "best_of_n": "rlhf.learning.best_of_n",
    "ppo": "rlhf.learning.ppo",
    "dpo": "rlhf.learning.dpo",
    "grpo": "rlhf.learning.grpo",
    "judge": "rlhf.learning.judge",
    "estimate": "rlhf.learning.estimate",
    "deliver": "rlhf.learning.deliver",
}


def main(arguments: list[str]) -> int:
    """Run one stage; returns the exit code."""
    if len(arguments) != 2 or arguments[0] not in STAGES:
        print(f"usage: python -m rlhf.learning KIND FOLDER, where KIND is one of {', '.join(STAGES)}", file=sys.stderr)
        return BAD_INPUT
    kind, folder = arguments[0], Path(arguments[1]).absolute()
    if (folder / "result.json").exists():
        return DONE
    # Until the stage can save, there is nothing to save: a signal just ends the process.
    signal.signal(signal.SIGTERM, _stop_at_once)
    try:
        config = configs.read(kind, folder / "config.json")
        importlib.import_module(STAGES[kind]).run(folder, config)
    except configs.InputError as error:
        _say(" ".join(str(error).split()))
        return BAD_INPUT
    except checkpoint.Stopped as stop:
        _say(str(stop))
        return STOPPED
    return DONE


def _say(sentence: str) -> None:
    """Once, where torchrun started several processes that all found the same."""
    if os.environ.get("RANK", "0") == "0":
        print(sentence, file=sys.stderr)


def _stop_at_once(*_: object) -> None:
    raise checkpoint.Stopped("stopped before the first step")


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:  # one of several, started by torchrun: with which it is to end
        lifeline.die_with(os.getppid())
    if lifeline.ENVIRONMENT in os.environ:  # started cold by a worker, with which it is to end
        lifeline.die_with(os.getppid())
        lifeline.watch(int(os.environ[lifeline.ENVIRONMENT]))
    code = main(sys.argv[1:])
    if "TORCHELASTIC_RUN_ID" in os.environ:
        lifeline.leave(code)
    sys.exit(code)
