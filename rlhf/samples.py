"""What a model in training answered at its checkpoints: told by the learning, kept as rows, read here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlhf.models import MAX_TEXT, Prompt, Run, RunSample
from rlhf.runs import Claim

PHASE = "checkpoint_sample"  # of the lines of metrics.jsonl that are such answers (rlhf/learning/samples.py)
SHOWN = 12  # steps, of a run with more the first, the last and some between


@dataclass(frozen=True)
class Answers:
    """What a run said to one prompt, oldest first."""

    prompt: Prompt
    samples: list[RunSample]


def is_sample(*, line: dict[str, Any]) -> bool:
    return line.get("phase") == PHASE


def record(*, claim: Claim, lines: Iterable[dict[str, Any]]) -> None:
    """Store the answers of an attempt; one that is stored already stays, one to a prompt that has gone is dropped."""
    found = list(lines)
    if not found:
        return
    project = Run.objects.values_list("project", flat=True).get(pk=claim.run_id)
    there = Prompt.objects.filter(project=project, pk__in={line["prompt_id"] for line in found})
    known = set(there.values_list("pk", flat=True))
    rows = [
        RunSample(
            run_id=claim.run_id,
            attempt=claim.attempt,
            step=line["step"],
            prompt_id=line["prompt_id"],
            text=str(line["completion"]).replace("\0", "")[:MAX_TEXT],  # PostgreSQL stores no NUL character
            score=line.get("score"),
        )
        for line in found
        if line["prompt_id"] in known
    ]
    RunSample.objects.bulk_create(rows, ignore_conflicts=True)


def of_run(*, run: Run) -> list[Answers]:
    """Those of the latest attempt, by prompt; of many steps some, evenly spread."""
    there = RunSample.objects.filter(run=run, attempt=run.attempt)
    steps = list(there.order_by("step").values_list("step", flat=True).distinct())
    if len(steps) > SHOWN:
        steps = [steps[round(place * (len(steps) - 1) / (SHOWN - 1))] for place in range(SHOWN)]
    by_prompt: dict[int, Answers] = {}
    for sample in there.filter(step__in=steps).select_related("prompt").order_by("prompt_id", "step"):
        by_prompt.setdefault(sample.prompt_id, Answers(sample.prompt, [])).samples.append(sample)
    return list(by_prompt.values())
