"""One project with a task of every kind that a protocol can ask for: `python -m tests.browser kinds PLACE SLUG ...`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from annotate import batches, pauses
from annotate.gold_files import GoldTask
from annotate.models import Assignment, Protocol, Task
from rlhf.models import Completion, ModelVersion, Project, Prompt
from rlhf.prompts import add, new_prompt
from tests.annotate import rows
from tests.browser import world


def choice(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "labels": {"en": label}}


FLAGS = [
    choice("fails", "Fails to follow the instruction"),
    choice("inappropriate", "Inappropriate for a customer assistant"),
    choice("hallucinates", "Makes things up"),
    choice("violence", "Violent content"),
]
ASPECTS = [choice("helpful", "More helpful"), choice("honest", "More honest")]
CATEGORIES = [choice("writing", "Writing"), choice("advice", "Advice"), choice("facts", "Facts")]

# By name: kind, number of answers, what the protocol asks. In the order in which they come.
KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "demonstration": ("demonstrate", 0, {"categories": CATEGORIES}),
    "prompt": ("prompt", 0, {}),
    "arena": ("compare", 2, {"allow_all_bad": True}),
    "four levels": ("compare", 2, {"strength": "four", "ask_pair_safety": True, "edit_best": True}),
    "seven points": (
        "compare", 2,
        {"strength": "seven", "aspects": ASPECTS, "reason_min_characters": 30, "categories": CATEGORIES},
    ),
    "sheets": ("rank", 4, {"rate_completions": True, "flags": FLAGS}),
    "seven ranks": ("rank", 7, {"edit_best": True, "allow_all_bad": True}),
    "four": ("rank", 4, {}),
    "nine": ("rank", 9, {"allow_ties": False}),
}  # fmt: skip

ALL = [name for name in KINDS if name != "four"]


def kinds(slug: str) -> dict[str, Any]:
    """One task of each kind."""
    made = world.project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    for index, name in enumerate(ALL):
        open_task(made, version, name=name, priority=len(ALL) - index)
    return {"slug": slug, "names": ALL}


def open_task(made: Project, version: ModelVersion, *, name: str, priority: int = 0, number: int = 0) -> Task:
    kind, num, asks = KINDS[name]
    protocol = protocol_of(made, name=name, kind=kind, asks=asks)
    prompt: Prompt | None = None
    shown: list[Completion] = []
    if kind != Protocol.Kind.PROMPT:
        text = f"{world.THANKS} ({name})" if number == 0 else f"Write thank-you note number {number} ({name})."
        prompt = new(made, text)
        shown = answers(prompt, version, num=num)
    return rows.task(project=made, kind=kind, protocol=protocol, prompt=prompt, shown=shown, priority=priority)


def answers(prompt: Prompt, version: ModelVersion, *, num: int) -> list[Completion]:
    texts = [world.NOTES[index % 4] + (f"\n\nP.S. Note {index + 1}." if index > 3 else "") for index in range(num)]
    return rows.completions(prompt=prompt, version=version, texts=texts) if num else []


def protocol_of(made: Project, *, name: str, kind: str, asks: dict[str, Any]) -> Protocol:
    found, _ = Protocol.objects.get_or_create(
        project=made,
        name=name,
        defaults={"kind": kind, "is_default": False, "auto_pause": False, "guidelines": world.GUIDELINES, **asks},
    )
    return found


def rankings(slug: str, num: str) -> dict[str, Any]:
    """Rankings of 2 to 7 answers, every text its own; every seventh takes no ties."""
    made = world.project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    for number in range(int(num)):
        asks = {"allow_ties": number % 7 != 0}
        protocol = protocol_of(made, name=f"ties {asks['allow_ties']}", kind=Protocol.Kind.RANK, asks=asks)
        prompt = new(made, f"Write note number {number}")
        shown = rows.completions(
            prompt=prompt, version=version, texts=[f"Note {number}.{index}" for index in range(2 + number % 6)]
        )
        rows.task(project=made, kind=Protocol.Kind.RANK, protocol=protocol, prompt=prompt, shown=shown)
    return {"slug": slug}


def same(slug: str, name: str, num: str) -> dict[str, Any]:
    """So many tasks of one kind."""
    made = world.project(slug=slug, name="Kind answers")
    version = rows.version(project=made)
    for number in range(1, int(num) + 1):
        open_task(made, version, name=name, number=number)
    return {"slug": slug}


def gates(slug: str) -> dict[str, Any]:
    """Two qualification tasks under guidelines to be confirmed, and work behind a content warning."""
    made = world.project(slug=slug, name="Kind answers")
    asks = {"qualification_size": 2, "qualification_percent": 50, "confirm_guidelines": True, "allow_ties": False}
    qualifying = protocol_of(made, name="qualifying", kind=Protocol.Kind.COMPARE, asks=asks)
    known = [
        GoldTask(
            new_prompt(value=f"Question {number}"), ("Good.", "Bad."), {"ranks": [1, 2]}, "It answers the question."
        )
        for number in (1, 2)
    ]
    purpose = Task.Purpose.QUALIFICATION
    batches.open_gold(project=made, protocol=qualifying, rows=known, purpose=purpose, now=timezone.now())
    warned = protocol_of(
        made, name="warned", kind=Protocol.Kind.DEMONSTRATE, asks={"content_warning": "These speak of violence."}
    )
    prompt = new(made, "Tell me something dreadful.")
    rows.task(project=made, kind=Protocol.Kind.DEMONSTRATE, protocol=warned, prompt=prompt)
    return {"slug": slug}


def bare(slug: str) -> dict[str, Any]:
    """A project whose protocols are still to be built."""
    world.project(slug=slug, name=f"Kind answers: {slug}")
    return {"slug": slug}


def under(slug: str, *names: str) -> dict[str, Any]:
    """A task of each of these protocols of the project, in this order, of as many answers as it asks for."""
    made = Project.objects.get(slug=slug)
    version = rows.version(project=made)
    for index, name in enumerate(names):
        protocol = Protocol.objects.get(project=made, name=name)
        prompt = new(made, f"{world.THANKS} ({name})")
        shown = answers(prompt, version, num=protocol.num_completions)
        rows.task(
            project=made, kind=protocol.kind, protocol=protocol, prompt=prompt, shown=shown, priority=len(names) - index
        )
    return {"slug": slug}


def pause(slug: str) -> dict[str, Any]:
    labeler = User.objects.get(username="labeler")
    made = Project.objects.get(slug=slug)
    pauses.pause(project=made, labeler=labeler, reason="5 of 12 gold tasks were right", now=timezone.now())
    return {}


def take_away(slug: str) -> dict[str, Any]:
    """Somebody else gets the task that was prefetched for the labeler, as after its minute."""
    reserved = Assignment.objects.get(task__project__slug=slug, state=Assignment.State.RESERVED)
    reserved.delete()
    Assignment.objects.create(
        task_id=reserved.task_id, labeler=User.objects.get(username="admin"), slot=reserved.slot,
        state=Assignment.State.LEASED, lease_expires_at=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    return {}


def new(made: Project, text: str) -> Prompt:
    add(project=made, prompts=[new_prompt(value=text)], source="test")
    return made.prompts.latest("id")


PLACES: dict[str, Callable[..., dict[str, Any]]] = {
    "kinds": kinds,
    "rankings": rankings,
    "same": same,
    "gates": gates,
    "bare": bare,
    "under": under,
    "pause": pause,
    "take_away": take_away,
}


def main(place: str, *arguments: str) -> dict[str, Any]:
    return PLACES[place](*arguments)
