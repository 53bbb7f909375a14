"""A project so small that its whole loop takes seconds, and people who answer everything, always in the same way."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.utils import timezone

from annotate import assignment, protocols, submissions
from annotate.models import Protocol, Task
from annotate.submissions import Answer
from rlhf.access import Access
from rlhf.models import Membership, Project, Role, Run
from rlhf.prompts import add, new_prompt
from tests.learning.rows import WORDS
from tests.rlhf.rows import member
from workers import loop
from workers.execute import Worker

_SMALL = {"batch_size": 4, "micro_batch_size": 4, "text": {"max_prompt_tokens": 64, "max_completion_tokens": 16}}
SETTINGS: dict[str, Any] = {
    "seed": 5,
    "num_rounds": 1,
    "num_demonstrations": 6,
    "num_ranking_prompts": 6,
    "num_held_out_ranking_prompts": 4,
    "num_best_of_n_prompts": 4,
    "num_ppo_prompts": 8,
    "num_compare_tasks": 3,
    "sft": {**_SMALL, "num_epochs": 20, "engine": {"checkpoint_every": 5}, "optimizer": {"learning_rate": 0.01}},
    "reward": {**_SMALL, "num_epochs": 4, "engine": {"checkpoint_every": 2}, "optimizer": {"learning_rate": 0.002}},
    "sample": {"text": _SMALL["text"]},
    "best_of_n": {**_SMALL, "sampling": {"num_samples": 2}, "optimizer": {"learning_rate": 0.002}},
    "ppo": {
        "text": _SMALL["text"],
        "num_iterations": 4,
        "rollouts_per_iteration": 8,
        "minibatch_size": 4,
        "micro_batch_size": 4,
        "engine": {"checkpoint_every": 1},
        "optimizer": {"learning_rate": 0.002},
    },
    "dpo": {**_SMALL, "num_epochs": 4, "engine": {"checkpoint_every": 2}, "optimizer": {"learning_rate": 0.002}},
    "grpo": {
        "text": _SMALL["text"],
        "num_iterations": 4,
        "prompts_per_iteration": 4,
        "group_size": 2,
        "minibatch_size": 8,
        "micro_batch_size": 4,
        "engine": {"checkpoint_every": 1},
        "optimizer": {"learning_rate": 0.002},
    },
}


def project(*, model: Path, num_prompts: int = 60, slug: str = "small", **settings: Any) -> Project:
    made = Project.objects.create(
        name=slug.title(), slug=slug, base_model=str(model), salt="salt", held_out_share=0.4,
        state=Project.State.ACTIVE, loop={**SETTINGS, **settings},
    )  # fmt: skip
    pairs = [(WORDS[i % 12], WORDS[(i * 5 + 1) % 12]) for i in range(num_prompts)]
    texts = [f"Tell me about the {one} and the {other}, no. {i}" for i, (one, other) in enumerate(pairs)]
    add(project=made, prompts=[new_prompt(value=text) for text in texts], source="test")
    for kind in (Protocol.Kind.DEMONSTRATE, Protocol.Kind.RANK, Protocol.Kind.COMPARE):
        asked = protocols.protocol(project=made, kind=kind)
        protocols.revise(protocol=asked, auto_pause=False)  # these people answer faster than anybody reads
    protocols.revise(protocol=protocols.protocol(project=made, kind=Protocol.Kind.RANK), num_completions=3)
    return made


def labeler(*, project: Project, name: str = "ada") -> Access:
    user = member(project, Role.LABELER, name)
    pseudonym = Membership.objects.get(project=project, user=user).pseudonym
    return Access(user, project, Role.LABELER, pseudonym)


def answer_everything(*, who: Access) -> int:
    """Longer answers are better, as a matter of principle; how many tasks were answered."""
    num_answered = 0
    while (held := assignment.next_task(access=who, now=timezone.now())) is not None:
        answer = Answer(uuid.uuid4(), **_answer(held.task, held.order_shown))
        submissions.submit(access=who, assignment_id=held.pk, answer=answer, now=timezone.now())
        num_answered += 1
    return num_answered


def _answer(task: Task, order_shown: list[int]) -> dict[str, Any]:
    if task.kind == Protocol.Kind.DEMONSTRATE:
        return {"text": f"No. {task.prompt.messages[-1]['content'].rsplit(' ', 1)[1]}."}
    texts = {shown.completion_id: shown.completion.text for shown in task.task_completions.select_related("completion")}
    best_first = sorted(order_shown, key=lambda pk: (-len(texts[pk]), texts[pk]))
    return {"ranks": {submissions.KEYS[index]: best_first.index(pk) + 1 for index, pk in enumerate(order_shown)}}


def plan(*, project: Project) -> None:
    project.refresh_from_db()
    if project.state == Project.State.ACTIVE:
        loop.plan(project=project, now=timezone.now())


def turn_until_finished(*, project: Project, workers: list[Worker], who: Access, turns: int = 60) -> None:
    """Plan, work and label until the project's state changes or something fails."""
    for _ in range(turns):
        plan(project=project)
        for worker in workers:
            worker.work()
        answer_everything(who=who)
        failed = Run.objects.filter(state=Run.State.FAILED).first()
        assert failed is None, f"{failed}: {failed.error}"
        if project.state != Project.State.ACTIVE:
            return
    raise AssertionError(f"not finished after {turns} turns: {list(Run.objects.values_list('plan_key', 'state'))}")
