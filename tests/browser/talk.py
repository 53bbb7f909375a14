"""Ends the waiting tries of a project as a worker does, with texts of its own: `python -m tests.browser talk SLUG`."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from rlhf import completions, runs
from rlhf.models import Run

TEXT = (
    "Thank you, {name}, for **three** weeks of quiet kindness.\n\n1. The basil has doubled.\n2. So has number {index}."
)


def main(slug: str) -> dict[str, Any]:
    num_ended = 0
    while Run.objects.filter(project__slug=slug, state=Run.State.QUEUED, purpose="try").exists():
        for resource in Run.Resource.values:
            claim = runs.claim(resource=resource, worker="talk", now=timezone.now())
            if claim is not None:
                _answer(claim)
                num_ended += 1
    return {"num_ended": num_ended}


def _answer(claim: runs.Claim) -> None:
    run = Run.objects.select_related("project", "policy").get(pk=claim.run_id)
    assert run.policy is not None
    new = [
        completions.NewCompletion(prompt, index, TEXT.format(name=run.policy.name, index=index + 1), 24, True)
        for prompt in run.selection["prompt_ids"]
        for index in range(run.configuration["sampling"]["num_samples"])
    ]
    completions.store(project=run.project, version=run.policy, claim=claim, rows=new)
    assert runs.succeed(claim=claim, now=timezone.now(), result={"metrics": {}})
