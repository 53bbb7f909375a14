"""A project with many versions, prompts and judges in a real database; its overview, and the page of it, timed.

`python -m benchmarks.evaluation.world VERSIONS PROMPTS JUDGES REQUESTS` in a process of its own, whose environment
names the database. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from benchmarks.evaluation import scores as synthetic  # noqa: E402
from rlhf import evaluation_snapshots, judges, prompts  # noqa: E402
from rlhf.models import (  # noqa: E402
    Completion,
    Evaluation,
    Membership,
    ModelVersion,
    Project,
    Role,
    Run,
    Verdict,
)
from workers import overview  # noqa: E402
from workers.execute import open_worker  # noqa: E402

BATCH = 2_000
CATEGORIES = ("chat", "code", "mathematics", "writing", "facts")
COLUMNS = (
    "evaluation_id", "project_id", "prompt_id", "judge_id", "run_id", "attempt", "candidate_completion_id",
    "baseline_completion_id", "rater", "score", "candidate_reward", "baseline_reward", "created_at",
)  # fmt: skip
WORDS = ("the quick brown fox jumps over a lazy dog", "and then it rests", "beneath an old tree by the river")


def main(num_versions: int, num_prompts: int, num_judges: int, num_requests: int) -> dict[str, Any]:
    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    project = seed(num_versions=num_versions, num_prompts=num_prompts, num_judges=num_judges)
    seeded_s = time.perf_counter() - began
    before = _peak_mb(resource.RUSAGE_SELF)
    freeze, estimate = _overview(project)
    found = evaluation_snapshots.newest(project=project)
    assert found is not None
    document = evaluation_snapshots.content(snapshot=found)
    return {
        "database": connection.vendor,
        "num_verdicts": document["num_verdicts"],
        "seed_s": seeded_s,
        "freeze_s": _took(freeze),
        "freeze_more_mb": _peak_mb(resource.RUSAGE_SELF) - before,
        "estimate_s": _took(estimate),
        "estimate_mb": _peak_mb(resource.RUSAGE_CHILDREN),
        "pieces": list(estimate.metrics.order_by("step").values_list("values__phase", "values__time")),
        "document_mb": len(evaluation_snapshots.text(snapshot=found)) / 1e6,
        "nothing_changed_ms": _idle_ms(project),
        **_page(project, num_requests),
    }


def seed(*, num_versions: int, num_prompts: int, num_judges: int) -> Project:
    project = Project.objects.create(name="Many", slug="many", base_model="tiny", salt="s", held_out_share=0.9)
    texts = [
        prompts.new_prompt(value=f"Question number {number}?", category=CATEGORIES[number % len(CATEGORIES)])
        for number in range(num_prompts)
    ]
    prompts.add(project=project, prompts=texts, source="benchmark")
    project.prompts.update(split="held_out")
    asked = list(project.prompts.order_by("id").values_list("pk", flat=True))
    versions = [_version(project, number) for number in range(num_versions)]
    answers = _answers(project, versions, asked)
    made = synthetic.make(num_versions=num_versions, num_prompts=num_prompts, num_judges=num_judges)
    _store_verdicts(_verdicts(project, versions, asked, answers, made, _judges(project, num_judges)))
    return project


def _version(project: Project, number: int) -> ModelVersion:
    return ModelVersion.objects.create(
        project=project, kind="ppo" if number else "sft", name=f"v{number}", number=number, iteration=number
    )


def _answers(project: Project, versions: list[ModelVersion], asked: list[int]) -> dict[tuple[int, int], int]:
    """The completion of every version and prompt."""
    for version in versions:
        run = Run.objects.create(
            project=project, kind="sample", resource="gpu", state=Run.State.SUCCEEDED, attempt=1, policy=version,
            plan_key=f"sample/{version.pk}", purpose="evaluation",
        )  # fmt: skip
        _store(
            Completion,
            (
                Completion(
                    project=project, prompt_id=prompt, version=version, run=run, attempt=1, sample_index=0,
                    text=" ".join(WORDS * (1 + (prompt + version.pk) % 7)), num_tokens=20, finished=True,
                )
                for prompt in asked
            ),
        )  # fmt: skip
    rows = Completion.objects.values_list("version_id", "prompt_id", "pk")
    return {(version, prompt): pk for version, prompt, pk in rows.iterator()}


def _judges(project: Project, num: int) -> list[int]:
    """Reward models, a judge of the demo's kind and people, in turn."""
    found = [judges.people_judge(project=project).pk, judges.gold_judge(project=project, name="gold").pk]
    for number in range(num - len(found)):
        model = ModelVersion.objects.create(
            project=project, kind="reward", name=f"rm{number}", weights_sha256=f"{number}"
        )
        found.append(judges.reward_judge(version=model).pk)
    return found[:num]


def _verdicts(
    project: Project,
    versions: list[ModelVersion],
    asked: list[int],
    answers: dict[tuple[int, int], int],
    made: synthetic.Scores,
    judged_by: list[int],
) -> Iterator[tuple[Any, ...]]:
    """Every judge on every pair of versions and every prompt, in the order in which a project would get them."""
    now = timezone.now()
    for pair, (first, second) in enumerate(zip(made.first.tolist(), made.second.tolist(), strict=True)):
        ours, theirs = versions[first], versions[second]
        evaluation = Evaluation.objects.create(project=project, candidate=ours, baseline=theirs, iteration=first)
        for place, judge in enumerate(judged_by):
            run = Run.objects.create(
                project=project, kind="judge", resource="gpu", state=Run.State.SUCCEEDED, attempt=1,
                plan_key=f"judge/{evaluation.pk}/{judge}", evaluation=evaluation,
            )  # fmt: skip
            for prompt, score in zip(asked, made.scores[place, :, pair].tolist(), strict=True):
                rewards = (score + first / 10, 1 - score + second / 10) if place > 1 else (None, None)
                yield (
                    evaluation.pk, project.pk, prompt, judge, run.pk, 1, answers[ours.pk, prompt],
                    answers[theirs.pk, prompt], "ann" if place == 0 else "", score, *rewards, now,
                )  # fmt: skip


def _store_verdicts(rows: Iterator[tuple[Any, ...]]) -> None:
    """Past the ORM, which would take most of the benchmark's time."""
    places = ", ".join(["%s"] * len(COLUMNS))
    statement = (
        f"INSERT INTO {Verdict._meta.db_table} ({', '.join(COLUMNS)}, position, replicate, note) "  # noqa: S608
        f"VALUES ({places}, 'none', 0, '')"
    )
    while batch := list(islice(rows, 10 * BATCH)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(statement, batch)


def _store(model: type[models.Model], rows: Iterable[models.Model]) -> None:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        with transaction.atomic():
            model._default_manager.bulk_create(batch)


def _overview(project: Project) -> list[Run]:
    """Plan and work as the dispatcher and a cpu worker do."""
    worker = open_worker(resource=Run.Resource.CPU)
    overview.plan(project=project, now=timezone.now())
    while worker.work():
        overview.plan(project=project, now=timezone.now())
    found = list(Run.objects.filter(project=project, purpose=overview.PURPOSE).order_by("id"))
    assert [run.state for run in found] == ["succeeded"] * 2, [run.error for run in found]
    return found


def _idle_ms(project: Project) -> float:
    """What it costs the dispatcher to see that no verdict has changed; the middle of some."""
    spent = []
    for _ in range(50):
        began = time.perf_counter()
        overview.plan(project=project, now=timezone.now())
        spent.append(1e3 * (time.perf_counter() - began))
    return sorted(spent)[len(spent) // 2]


def _page(project: Project, num_requests: int) -> dict[str, Any]:
    user = User.objects.create_user("remy", password=os.urandom(8).hex())
    Membership.objects.create(project=project, user=user, role=Role.RESEARCHER, pseudonym="r")
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    spent = []
    for _ in range(num_requests + 3):
        began = time.perf_counter()
        answer = client.get(f"/p/{project.slug}/")
        spent.append(1e3 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.status_code
    warm = sorted(spent[3:])
    return {
        "page_first_ms": spent[0],
        "page_p50_ms": warm[len(warm) // 2],
        "page_p95_ms": warm[int(0.95 * len(warm))],
        "page_requests": len(warm),
        "page_kb": len(answer.content) / 1e3,
    }


def _took(run: Run) -> float:
    assert run.started_at is not None and run.ended_at is not None
    return (run.ended_at - run.started_at).total_seconds()


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(main(*(int(word) for word in sys.argv[1:]))))
