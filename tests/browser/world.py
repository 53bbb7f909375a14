"""Projects for the browser tests, made in the servers' own database: `python -m tests.browser world PLACE ...`.

Rows are made the way the product makes them where it has a way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.files.storage import default_storage
from django.utils import timezone

from annotate import protocols
from annotate.models import Protocol, Submission
from rlhf import runs
from rlhf.models import DatasetSnapshot, Membership, Project, Prompt, Role, Run
from rlhf.prompts import add, new_prompt
from tests.annotate import rows
from tests.browser import behind, record
from tests.browser.conftest import PASSWORD
from workers.execute import open_worker

THANKS = "My neighbour watered my plants for three weeks. Write her a short thank-you note; she hates fuss."
NOTES = [
    "Dear Ruth,\n\nThe tomatoes look better than when I left. Thank you for three weeks of quiet kindness; there is a "
    "jar of honey on your step, and it asks for nothing in return.\n\nJo",
    "Thank you so much!!! You are amazing, really, truly, thank you thank you thank you, the best neighbour ever!!!",
    "Thanks for watering the plants. They are alive.",
    "Dear Ruth, thank you for looking after the plants. They look wonderful:\n\n- the basil has doubled\n- the fern "
    "forgave me\n\nI'd love to return the favour.",
]
GUIDELINES = """Judge how much each answer **helps the person who asked**.

1. Does it do what was asked?
2. Is it true? A confident mistake is worse than an honest *I don't know*.
3. Is it kind, and no longer than it needs to be?

Ties are fine when you can't tell two answers apart."""

ROLES = {"labeler": Role.LABELER, "researcher": Role.RESEARCHER, "admin": Role.MANAGER}


def people() -> dict[str, Any]:
    """The accounts, before any project; everybody has the same password."""
    for name, role in ROLES.items():
        is_admin = role == Role.MANAGER
        User.objects.create_user(name, password=PASSWORD, is_staff=is_admin, is_superuser=is_admin)
    return {"names": list(ROLES)}


def project(*, slug: str, name: str) -> Project:
    made = Project.objects.create(name=name, slug=slug, base_model="tiny", salt="salt", held_out_share=0.5)
    for name, role in ROLES.items():
        user = User.objects.get(username=name)
        Membership.objects.create(project=made, user=user, role=role, pseudonym=f"{name} {made.pk}")
    for kind in Protocol.Kind.values:
        protocol = protocols.protocol(project=made, kind=kind)
        protocol.guidelines = GUIDELINES
        protocol.auto_pause = False  # a script answers faster than anybody reads
        protocol.save()
    return made


def labeling(slug: str) -> dict[str, Any]:
    """A demonstration to write first, then four completions to rank, then a pair to compare."""
    made = project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    rows.task(project=made, kind="demonstrate", prompt=_prompt(made, "How do I ask my boss for a day off?"), priority=3)
    thanks = _prompt(made, THANKS)
    shown = rows.completions(prompt=thanks, version=version, texts=NOTES)
    rows.task(project=made, kind="rank", prompt=thanks, shown=shown, priority=2)
    return {"slug": slug, "texts": NOTES}


def writing(*slugs: str) -> dict[str, Any]:
    """In each project three demonstrations to write."""
    for slug in slugs:
        made = project(slug=slug, name="Kind answers")
        for number in range(3):
            rows.task(
                project=made, kind="demonstrate", prompt=_prompt(made, f"How do I ask for {number + 1} days off?")
            )
    return {"slugs": slugs}


def ranking(slug: str) -> dict[str, Any]:
    """Two rankings, nothing else."""
    made = project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    for text in (THANKS, f"{THANKS} In verse."):
        prompt = _prompt(made, text)
        shown = rows.completions(prompt=prompt, version=version, texts=NOTES)
        rows.task(project=made, kind="rank", prompt=prompt, shown=shown)
    return {"slug": slug, "texts": NOTES}


def research(slug: str) -> dict[str, Any]:
    """A project two rounds old (tests/browser/record.py)."""
    made = project(slug=slug, name="Kind answers")
    record.build(made)
    return {"slug": slug}


def numbers(slug: str) -> dict[str, Any]:
    """A project two rounds old with everything behind its numbers (tests/browser/behind.py)."""
    made = project(slug=slug, name="Kind answers")
    record.build(made)
    behind.build(made)
    return {"slug": slug}


def freeze(slug: str, dataset: str) -> dict[str, Any]:
    """Ask for a snapshot as the loop does and let a worker of this process make it; its rows, read from the JSONL."""
    made = Project.objects.get(slug=slug)
    selection: dict[str, Any] = {"dataset": dataset}
    if dataset == "rankings":
        selection |= {"iteration": 0, "old_weight": 0.5}
    asked = runs.ask(
        project=made, kind=Run.Kind.FREEZE, plan_key=f"test-{dataset}", selection=selection, now=timezone.now()
    )
    open_worker(resource=Run.Resource.CPU).work()
    asked.refresh_from_db()
    snapshot = DatasetSnapshot.objects.get(made_by=asked)
    with default_storage.open(snapshot.jsonl) as file:
        return {"rows": [json.loads(line) for line in file]}


def submissions(slug: str) -> dict[str, Any]:
    stored = Submission.objects.filter(project__slug=slug).order_by("id")
    return {"bodies": [row.body for row in stored], "drafts": [row.assignment.draft for row in stored]}


def session(name: str) -> dict[str, Any]:
    """A signed-in session of an account whose password is not known here."""
    user = User.objects.get(username=name)
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return {"key": store.session_key}


def _prompt(made: Project, text: str) -> Prompt:
    add(project=made, prompts=[new_prompt(value=text)], source="test")
    return Prompt.objects.filter(project=made).latest("id")


PLACES: dict[str, Callable[..., dict[str, Any]]] = {
    "people": people,
    "labeling": labeling,
    "writing": writing,
    "ranking": ranking,
    "research": research,
    "numbers": numbers,
    "freeze": freeze,
    "submissions": submissions,
    "session": session,
}


def main(place: str, *arguments: str) -> dict[str, Any]:
    return PLACES[place](*arguments)
