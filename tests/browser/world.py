"""Projects for the browser tests, made in the servers' own database: `python -m tests.browser.world PLACE ...`.

The last line of the output is JSON. Rows are made the way the product makes them where it has a way.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 (models need the set-up above)

from annotate import protocols  # noqa: E402
from annotate.models import Protocol, Submission  # noqa: E402
from rlhf.models import Membership, Project, Prompt, Role  # noqa: E402
from rlhf.prompts import add, new_prompt  # noqa: E402
from tests.annotate import rows  # noqa: E402
from tests.browser.conftest import PASSWORD  # noqa: E402

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


def ranking(slug: str) -> dict[str, Any]:
    """Two rankings, nothing else."""
    made = project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    for text in (THANKS, f"{THANKS} In verse."):
        prompt = _prompt(made, text)
        shown = rows.completions(prompt=prompt, version=version, texts=NOTES)
        rows.task(project=made, kind="rank", prompt=prompt, shown=shown)
    return {"slug": slug, "texts": NOTES}


def submissions(slug: str) -> dict[str, Any]:
    stored = Submission.objects.filter(project__slug=slug).order_by("id")
    return {"bodies": [row.body for row in stored], "drafts": [row.assignment.draft for row in stored]}


def _prompt(made: Project, text: str) -> Prompt:
    add(project=made, prompts=[new_prompt(value=text)], source="test")
    return Prompt.objects.filter(project=made).latest("id")


PLACES = {"people": people, "labeling": labeling, "ranking": ranking, "submissions": submissions}

if __name__ == "__main__":
    print(json.dumps(PLACES[sys.argv[1]](*sys.argv[2:])))
