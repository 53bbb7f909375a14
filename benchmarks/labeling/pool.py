"""A project with a pool of ranking tasks, filled by SQL: `python -m benchmarks.labeling.pool TASKS LABELERS`.

The first thousand tasks are opened by the product; the others are copies of them, each thousand in a batch of its own.
Every completion ends with its rank, so that clients can be careful. Prints the sessions of the labelers as JSON; the
last labeler is a veteran, who has seen nine tenths of the pool.
"""

from __future__ import annotations

import json
import os
import random
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from annotate import batches, protocols  # noqa: E402
from annotate.models import Assignment, Protocol, Sequence, Submission, Task, TaskCompletion  # noqa: E402
from rlhf import projects, prompts  # noqa: E402
from rlhf.models import Completion, ModelVersion, Project, Prompt, Role, Run  # noqa: E402

NUM_OPENED = 1_000
NUM_COMPLETIONS = 4
OVERLAP = 3
GOLD_PERCENT = 5
NUM_GOLD = 100
WORDS = ("please", "write", "a", "short", "note", "about", "the", "garden", "and", "tea", "to", "dear", "friend")
FASTER = {  # of this connection alone, while it fills the tables
    "sqlite": "PRAGMA cache_size = -500000",
    "postgresql": "SET session_replication_role = replica",  # copies keep their references: not checked again
}
SERIES = "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < %s)"


def make(num_tasks: int, num_labelers: int) -> list[str]:
    """Session keys. Raises ValueError where the pool is no multiple of what the product opens."""
    if num_tasks % NUM_OPENED:
        raise ValueError(f"expected a multiple of {NUM_OPENED:,} tasks, found {num_tasks:,}")
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(FASTER[connection.vendor])
    project = Project.objects.create(name="Pool", slug="pool", base_model="none", salt="salt")
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.RANK)
    protocols.revise(
        protocol=protocol, overlap=OVERLAP, gold_percent=GOLD_PERCENT, num_completions=NUM_COMPLETIONS,
        auto_pause=False,  # these clients answer faster than anybody reads
    )  # fmt: skip
    _open(project)
    _copy(num_tasks // NUM_OPENED - 1)
    _copy_as_gold()
    labelers = [User.objects.create_user(f"labeler{number}") for number in range(num_labelers)]
    for labeler in labelers:
        projects.join(project=project, user=labeler, role=Role.LABELER)
    _see(project, protocol, labelers[-1], num_tasks * 9 // 10)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # PostgreSQL does it by itself within minutes
    return [_session(labeler) for labeler in labelers]


def duplicates() -> int:
    """Work tasks with more answers than were asked for, answers beyond one per person and task, answers not counted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM (SELECT task.id FROM annotate_task task JOIN annotate_assignment given"
            " ON given.task_id = task.id AND given.state IN ('submitted', 'surplus') WHERE task.purpose = 'work'"
            " GROUP BY task.id, task.overlap HAVING COUNT(*) > task.overlap) crowded"
        )
        too_many = cursor.fetchone()[0]
    submissions = Submission.objects.order_by()
    twice = submissions.count() - submissions.values("assignment__task", "labeler").distinct().count()
    return too_many + twice + Assignment.objects.filter(state=Assignment.State.SURPLUS).count()


def _open(project: Project) -> None:
    new = [prompts.new_prompt(value=f"Write note number {number}") for number in range(NUM_OPENED)]
    prompts.add(project=project, prompts=new, source="benchmark")
    batches.open_rankings(project=project, batch="pool", iteration=1, completions=_completions(project))


def _completions(project: Project) -> list[Completion]:
    draw = random.Random(0)
    version = ModelVersion.objects.create(project=project, kind=ModelVersion.Kind.SFT, name="v0")
    run = Run.objects.create(
        project=project, kind=Run.Kind.SAMPLE, resource=Run.Resource.GPU, purpose="ranking", plan_key="sample",
        state=Run.State.SUCCEEDED, attempt=1, policy=version,
    )  # fmt: skip
    rows = [
        Completion(
            project=project, prompt=prompt, version=version, run=run, attempt=1, sample_index=index, num_tokens=30,
            text=" ".join((*draw.choices(WORDS, k=30), str(index + 1))), finished=True,
        )
        for prompt in Prompt.objects.filter(project=project)
        for index in range(NUM_COMPLETIONS)
    ]  # fmt: skip
    return Completion.objects.bulk_create(rows, batch_size=500)


def _copy(num_copies: int) -> None:
    if num_copies:
        changed = {"batch": "batch || '-' || n", "queue_place": "queue_place - 1000000 * CAST(n AS BIGINT)"}
        _copy_tasks(SERIES + " SELECT {columns} FROM annotate_task CROSS JOIN series", changed, [num_copies])  # noqa: S608 (ours)


def _copy_as_gold() -> None:
    expected = json.dumps({"ranks": list(range(1, NUM_COMPLETIONS + 1))})
    changed = {"batch": "'gold'", "purpose": "'gold'", "expected": f"'{expected}'", "overlap": "30000"}
    _copy_tasks("SELECT {columns} FROM annotate_task WHERE batch = 'pool' ORDER BY id LIMIT %s", changed, [NUM_GOLD])


def _copy_tasks(select: str, changed: dict[str, str], parameters: list[int]) -> None:
    """Copies of opened tasks with what they show."""
    columns = [str(field.column) for field in Task._meta.concrete_fields if not field.primary_key]
    shown = [field.column for field in TaskCompletion._meta.concrete_fields if field.column not in ("id", "task_id")]
    selected = select.format(columns=", ".join(changed.get(name, name) for name in columns))
    with connection.cursor() as cursor:
        cursor.execute("SELECT MAX(id) FROM annotate_task")
        (last,) = cursor.fetchone()
        cursor.execute(f"INSERT INTO annotate_task ({', '.join(columns)}) {selected}", parameters)
        names = ", ".join(f'"{name}"' for name in shown)
        cursor.execute(
            f"INSERT INTO annotate_taskcompletion (task_id, {names}) SELECT copy.id, "  # noqa: S608 (ours)
            + ", ".join(f'shown."{name}"' for name in shown)
            + " FROM annotate_task copy JOIN annotate_task opened ON opened.prompt_id = copy.prompt_id"
            " AND opened.batch = 'pool' JOIN annotate_taskcompletion shown ON shown.task_id = opened.id"
            " WHERE copy.id > %s",
            [last],
        )


def _see(project: Project, protocol: Protocol, labeler: User, num: int) -> None:
    """The labeler has seen, and skipped, the first tasks of the queue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO annotate_assignment (task_id, labeler_id, state, lease_expires_at, order_shown,"
            " protocol_revision, skip_reason, created_at) SELECT id, %s, 'skipped', created_at, '[]', 1, 'seen',"
            " created_at FROM annotate_task WHERE purpose = 'work' ORDER BY queue_place, id LIMIT %s",
            [labeler.pk, num],
        )
    queue = Task.objects.filter(purpose=Task.Purpose.WORK).order_by("queue_place", "id")
    first_new = queue.values_list("queue_place", flat=True)[num]
    places = {str(protocol.pk): {"num": num, "from": {"0": first_new}}}
    Sequence.objects.create(project=project, labeler=labeler, places=places)


def _session(labeler: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(labeler.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = labeler.get_session_auth_hash()
    session.create()
    assert session.session_key is not None
    return session.session_key


if __name__ == "__main__":
    print(json.dumps(duplicates() if sys.argv[1] == "duplicates" else make(*map(int, sys.argv[1:]))))
