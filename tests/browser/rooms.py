"""A project for each state of the labeling page, opened by its address: `python -m tests.browser rooms`.

Nothing is submitted in most of them: a person who comes back gets the task that they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from annotate import assignment as assignments
from annotate import batches, pauses, protocols
from annotate.gold_files import GoldTask
from annotate.models import Protocol, Task
from rlhf.access import Access
from rlhf.models import Project, Role
from rlhf.prompts import new_prompt
from tests.annotate import rows
from tests.annotate.crowd import answer
from tests.browser import world

Kind = Protocol.Kind
NUM_ANSWERED = 30  # tasks of a state that is reached by answering
NUM_COMPARED = 12  # enough for a word on agreement
FOUR_ANSWERS = [
    *world.NOTES[:3],
    "Here is a plan:\n\n1. Buy a card\n2. Write *one* line\n\n```python\nprint('Thank you, Ruth')\n```\n\n"
    "| what | when |\n|---|---|\n| card | today |\n\nIt takes $t = 2n + 1$ minutes. See [a guide](https://example.org/).",
]
ARABIC = "كيف أكتب رسالة شكر قصيرة لجارتي التي سقت نباتاتي ثلاثة أسابيع؟ اجعلها أقل من 50 كلمة (please)."
ARABIC_ANSWERS = [
    "عزيزتي روث،\n\nالطماطم تبدو أفضل مما تركتها. شكرًا على ثلاثة أسابيع من اللطف الهادئ؛ على عتبة بابك مرطبان عسل.",
    "شكرا!!! أنت **رائعة** حقًا:\n\n- النباتات حيّة\n- الريحان تضاعف",
]
CONVERSATION = [
    {"role": "system", "content": "You are a careful gardener."},
    {"role": "user", "content": "My basil wilts."},
    {"role": "assistant", "content": "Does it stand in the sun all day?"},
    {"role": "user", "content": "Yes, from morning to night. What now?"},
]


def choices(*names: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "labels": {"en": english, "zh-hans": chinese}} for name, english, chinese in names]


FLAGS = choices(("wrong", "States something false", "包含错误信息"), ("harmful", "Could harm somebody", "可能造成伤害"))
ASPECTS = choices(("helpful", "Helpful", "有用"), ("true", "True", "真实"))
CATEGORIES = choices(("brainstorming", "Brainstorming", "头脑风暴"), ("rewriting", "Rewriting", "改写"))


def room(slug: str, kind: str = "", **asked: Any) -> Project:
    made = world.project(slug=slug, name=f"Kind answers: {slug}")
    if kind and asked:
        protocols.revise(protocol=protocols.protocol(project=made, kind=kind), **asked)
    return made


def pair(made: Project, kind: str, prompt: Any, texts: list[str]) -> Task:
    asked = world._prompt(made, prompt)
    shown = rows.completions(prompt=asked, version=rows.version(project=made), texts=texts)
    return rows.task(project=made, kind=kind, prompt=asked, shown=shown)


def demonstrate(slug: str) -> None:
    rows.task(project=room(slug), kind=Kind.DEMONSTRATE)


def prompt(slug: str) -> None:
    made = room(slug, Kind.PROMPT, categories=CATEGORIES)
    protocol = protocols.protocol(project=made, kind=Kind.PROMPT)
    Task.objects.create(project=made, protocol=protocol, kind=Kind.PROMPT, batch="prompts")


def rank(slug: str) -> None:
    made = room(slug, Kind.RANK, rate_completions=True, flags=FLAGS, edit_best=True, allow_all_bad=True)
    pair(made, Kind.RANK, world.THANKS, FOUR_ANSWERS)


def compare(slug: str) -> None:
    asked: dict[str, Any] = {"strength": "seven", "aspects": ASPECTS, "reason_min_characters": 20}
    made = room(slug, Kind.COMPARE, ask_pair_safety=True, allow_all_bad=True, edit_best=True, **asked)
    pair(made, Kind.COMPARE, CONVERSATION, FOUR_ANSWERS[:2])


def warned(slug: str) -> None:
    """A warning first; behind it a pair as Llama 2 asked for it."""
    warning = "Some answers speak of violence."
    made = room(slug, Kind.COMPARE, strength="four", allow_ties=False, content_warning=warning)
    pair(made, Kind.COMPARE, world.THANKS, FOUR_ANSWERS[:2])


def unread(slug: str) -> None:
    """Guidelines that a person is to confirm first."""
    made = room(slug, Kind.COMPARE, confirm_guidelines=True)
    pair(made, Kind.COMPARE, world.THANKS, FOUR_ANSWERS[:2])


def qualifying(slug: str) -> None:
    """Training tasks: each test answers one."""
    made = room(slug, Kind.COMPARE, qualification_size=NUM_ANSWERED)
    expected, why = {"ranks": [1, 2]}, "The first is **kind**, and as short as she likes it."
    prompts = [new_prompt(value=f"{world.THANKS} ({number})") for number in range(NUM_ANSWERED)]
    rows = [GoldTask(prompt, tuple(FOUR_ANSWERS[:2]), expected, why) for prompt in prompts]
    protocol = protocols.protocol(project=made, kind=Kind.COMPARE)
    purpose = Task.Purpose.QUALIFICATION
    batches.open_gold(project=made, protocol=protocol, rows=rows, purpose=purpose, now=timezone.now())


def answered(slug: str) -> None:
    """Pairs enough for each test to answer some."""
    made = room(slug, Kind.COMPARE, auto_pause=False)
    version = rows.version(project=made)
    for number in range(NUM_ANSWERED):
        asked = world._prompt(made, f"{world.THANKS} ({number})")
        shown = rows.completions(prompt=asked, version=version, texts=FOUR_ANSWERS[:2])
        rows.task(project=made, kind=Kind.COMPARE, prompt=asked, shown=shown)


def arabic(slug: str) -> None:
    pair(room(slug, Kind.COMPARE, strength="seven", edit_best=True), Kind.COMPARE, ARABIC, ARABIC_ANSWERS)


def compared(slug: str) -> None:
    """Two people have answered all there is, and do not agree on each task: for one's own page, and the reviewers'."""
    made = room(slug, Kind.COMPARE, auto_pause=False)
    version, now = rows.version(project=made), timezone.now()
    for number in range(NUM_COMPARED):
        asked = world._prompt(made, f"{world.THANKS} ({number})")
        shown = rows.completions(prompt=asked, version=version, texts=FOUR_ANSWERS[:2])
        rows.task(project=made, kind=Kind.COMPARE, prompt=asked, shown=shown, overlap=2)
    one = made.memberships.select_related("user").get(user__username="labeler")
    people = [Access(one.user, made, Role.LABELER, one.pseudonym), rows.member(project=made, name="second")]
    for place, who in enumerate(people):
        for number in range(NUM_COMPARED):
            held = assignments.next_task(access=who, now=now)
            assert held is not None
            is_in_order = held.order_shown == sorted(held.order_shown)
            agrees = place == 0 or held.task_id % 4 > 0
            now += timedelta(seconds=20 + number)
            answer(who=who, held=held, ranks=[1, 2] if is_in_order == agrees else [2, 1], now=now)


def empty(slug: str) -> None:
    room(slug)


def paused(slug: str) -> None:
    labeler = User.objects.get(username="labeler")
    pauses.pause(project=room(slug), labeler=labeler, reason="5 of 12 gold tasks were right", now=timezone.now())


ROOMS: tuple[Callable[[str], None], ...] = (
    demonstrate, prompt, rank, compare, warned, unread, arabic, qualifying, answered, compared, empty, paused,
)  # fmt: skip


def main() -> dict[str, str]:
    """The slug of the project of each state."""
    slugs = {build.__name__: f"room-{build.__name__}" for build in ROOMS}
    for build in ROOMS:
        build(slugs[build.__name__])
    return slugs
