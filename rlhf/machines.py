"""Where a run works: what its child and its checkpoints record, and what resuming exactly depends on."""

from __future__ import annotations

from rlhf.models import Run
from rlhf.runs import Claim, held

NAMES = {
    "processor": "Processor",
    "device": "Device",
    "num_threads": "CPU threads",
    "num_processes": "Processes",
    "python": "Python",
    "torch": "PyTorch",
    "transformers": "transformers",
}  # in order; the rest follows by its key


def note(*, claim: Claim, machine: dict[str, str]) -> None:
    """Where the child of this attempt works."""
    held(claim=claim).update(machine=machine)


def facts(*, run: Run) -> list[tuple[str, str]]:
    """Name and value, in the order to show them."""
    known = [(label, str(run.machine[key])) for key, label in NAMES.items() if key in run.machine]
    return known + [(key, str(value)) for key, value in sorted(run.machine.items()) if key not in NAMES]
