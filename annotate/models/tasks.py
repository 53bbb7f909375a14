"""Tasks and who holds them.

Slots make "exactly as many people as asked" a constraint instead of a count: an assignment that counts holds one of its
task's slots, numbered 0 to overlap - 1, and a slot can be held once.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotate.models.protocols import Protocol
from rlhf.models import Completion, Evaluation, Project, Prompt


def end_of_queue() -> int:
    """A place behind all that were given out so far: the clock itself, in microseconds."""
    return time.time_ns() // 1_000


class Task(models.Model):
    class State(models.TextChoices):
        OPEN = "open", _("open")
        DONE = "done", _("done")  # every slot is SUBMITTED
        CLOSED = "closed", _("closed")  # no longer wanted

    class Purpose(models.TextChoices):
        WORK = "work", _("work")
        GOLD = "gold", _("gold")  # the right answer is known; the labeler doesn't see which tasks these are
        QUALIFICATION = "qualification", _("qualification")  # as gold, with explained feedback, before the work

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    protocol = models.ForeignKey(Protocol, on_delete=models.PROTECT, related_name="tasks")
    kind = models.CharField(max_length=12, choices=Protocol.Kind.choices)
    purpose = models.CharField(max_length=13, choices=Purpose.choices, default=Purpose.WORK)
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks")
    completions: models.ManyToManyField[Completion, TaskCompletion] = models.ManyToManyField(
        Completion, through="TaskCompletion", related_name="tasks"
    )
    evaluation = models.ForeignKey(Evaluation, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks")
    expected = models.JSONField(
        null=True, blank=True, help_text='of gold and qualification: {"ranks": [one per completion], "flags": ...}'
    )
    explanation = models.TextField(blank=True, max_length=5_000, help_text="Markdown: why that is right")
    block_position = models.PositiveIntegerField(
        default=0, help_text="place among the tasks of the same versions; balances which completion is shown where"
    )
    batch = models.CharField(max_length=80, help_text="the step that opened it; opening a batch twice opens it once")
    iteration = models.PositiveIntegerField(default=0)
    overlap = models.PositiveSmallIntegerField(default=1)
    num_submitted = models.PositiveSmallIntegerField(default=0)
    disagreement = models.FloatField(
        null=True, blank=True, help_text="share of pairs that its answers order differently; empty below two answers"
    )
    priority = models.IntegerField(default=0, help_text="higher first")
    queue_place = models.BigIntegerField(
        default=end_of_queue, help_text="order among tasks of one priority; a task that comes back queues up again"
    )
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("project", "batch", "prompt"), name="a_task_is_opened_once"),
            models.CheckConstraint(
                condition=Q(kind="prompt", prompt__isnull=True) | (~Q(kind="prompt") & Q(prompt__isnull=False)),
                name="a_prompt_unless_it_is_to_be_written",
            ),
            models.CheckConstraint(
                condition=Q(purpose="work", expected__isnull=True) | (~Q(purpose="work") & Q(expected__isnull=False)),
                name="an_expected_answer_where_it_is_known",
            ),
        )
        indexes = (
            models.Index(
                fields=("project", "state", "purpose", "protocol", "priority", "queue_place", "id"), name="task_queue"
            ),
            models.Index(fields=("project", "batch", "state")),
            models.Index(
                fields=("project", "-disagreement", "-id"),
                condition=Q(disagreement__gt=0),
                name="most_disagreeing_first",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


class TaskCompletion(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="task_completions")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    index = models.PositiveSmallIntegerField(help_text="in the task; the order on screen belongs to the assignment")
    names_itself = models.BooleanField(default=False, help_text="the text gives away which model wrote it")

    class Meta:
        ordering = ("index",)
        constraints = (
            models.UniqueConstraint(fields=("task", "completion"), name="a_completion_once_per_task"),
            models.UniqueConstraint(fields=("task", "index"), name="an_index_once_per_task"),
        )


class TaskAuthor(models.Model):
    """A person who wrote, word for word, one of the answers that a task shows: the task is never theirs."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="authors")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("task", "author"), name="an_author_once_per_task"),)


ON_LEASE = Q(state__in=("reserved", "leased"))


class Assignment(models.Model):
    """One person's hold on one task: the lease, the order shown, the draft."""

    class State(models.TextChoices):
        RESERVED = "reserved", _("reserved")  # prefetched; at most 60 s, may be taken over
        LEASED = "leased", _("leased")
        SUBMITTED = "submitted", _("submitted")
        SKIPPED = "skipped", _("skipped")  # never returns to that person
        EXPIRED = "expired", _("expired")
        # answered after the lease, when no slot was left: kept, exported flagged, not counted
        SURPLUS = "surplus", _("surplus")
        QUARANTINED = "quarantined", _("quarantined")  # answered by somebody paused: kept, does not count
        ADJUDICATED = "adjudicated", _("adjudicated")  # a reviewer's decision, outside the overlap

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments")
    slot = models.PositiveSmallIntegerField(null=True, blank=True)
    state = models.CharField(max_length=11, choices=State.choices)
    lease_expires_at = models.DateTimeField()
    order_shown = models.JSONField(default=list, help_text="completion ids in the order on screen")
    protocol_revision = models.PositiveIntegerField(default=1, help_text="under which it was handed out")
    draft = models.JSONField(null=True, blank=True)
    draft_saved_at = models.DateTimeField(null=True, blank=True)
    skip_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("task", "slot"), name="a_slot_is_held_once"),
            models.UniqueConstraint(fields=("task", "labeler"), name="a_person_once_per_task"),
            models.CheckConstraint(
                condition=Q(state__in=("leased", "reserved", "submitted"), slot__isnull=False)
                | Q(state__in=("skipped", "expired", "surplus", "quarantined", "adjudicated"), slot__isnull=True),
                name="a_slot_while_it_counts",
            ),
        )
        indexes = (
            models.Index(fields=("labeler", "state")),
            # Of millions of assignments a few are on lease. SQLite, which knows no frequencies, would read them all.
            models.Index(fields=("labeler",), condition=ON_LEASE, name="on_lease_by_labeler"),
            models.Index(fields=("lease_expires_at",), condition=ON_LEASE, name="on_lease_by_expiry"),
        )
