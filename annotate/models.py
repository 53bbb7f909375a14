"""The people's side: protocols, tasks, assignments and answers.

Slots make "exactly as many people as asked" a constraint instead of a count: an assignment that counts holds one of its
task's slots, numbered 0 to overlap - 1, and a slot can be held once.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from rlhf.models import MAX_TEXT, Completion, Evaluation, Membership, Project, Prompt


class Protocol(models.Model):
    """What one kind of task asks. A change makes a new revision, and every answer stores its own."""

    class Kind(models.TextChoices):
        DEMONSTRATE = "demonstrate", "write the ideal answer"
        RANK = "rank", "rank the answers"
        COMPARE = "compare", "compare two answers"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="protocols")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=80)
    guidelines = models.TextField(blank=True, max_length=20_000, help_text="Markdown, shown beside the task")
    num_completions = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(2), MaxValueValidator(9)], help_text="K of a ranking"
    )
    allow_ties = models.BooleanField(default=True)
    overlap = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(20)], help_text="people per task"
    )
    lease_minutes = models.PositiveSmallIntegerField(default=30, validators=[MinValueValidator(1)])
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("project", "kind"), name="one_protocol_per_kind"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.get_kind_display()})"


class Task(models.Model):
    class State(models.TextChoices):
        OPEN = "open", "open"
        DONE = "done", "done"  # every slot is SUBMITTED
        CLOSED = "closed", "closed"  # no longer wanted

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    protocol = models.ForeignKey(Protocol, on_delete=models.PROTECT, related_name="tasks")
    kind = models.CharField(max_length=12, choices=Protocol.Kind.choices)
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="tasks")
    completions: models.ManyToManyField[Completion, TaskCompletion] = models.ManyToManyField(
        Completion, through="TaskCompletion", related_name="tasks"
    )
    evaluation = models.ForeignKey(Evaluation, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks")
    batch = models.CharField(max_length=80, help_text="the step that opened it; opening a batch twice opens it once")
    iteration = models.PositiveIntegerField(default=0)
    overlap = models.PositiveSmallIntegerField(default=1)
    num_submitted = models.PositiveSmallIntegerField(default=0)
    priority = models.IntegerField(default=0, help_text="higher first")
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("project", "batch", "prompt"), name="a_task_is_opened_once"),)
        indexes = (
            models.Index(fields=("project", "state", "-priority", "id")),
            models.Index(fields=("project", "batch", "state")),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


class TaskCompletion(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="task_completions")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    index = models.PositiveSmallIntegerField(help_text="in the task; the order on screen belongs to the assignment")

    class Meta:
        ordering = ("index",)
        constraints = (
            models.UniqueConstraint(fields=("task", "completion"), name="a_completion_once_per_task"),
            models.UniqueConstraint(fields=("task", "index"), name="an_index_once_per_task"),
        )


class Assignment(models.Model):
    """One person's hold on one task: the lease, the order shown, the draft."""

    class State(models.TextChoices):
        RESERVED = "reserved", "reserved"  # prefetched; at most 60 s, may be taken over
        LEASED = "leased", "leased"
        SUBMITTED = "submitted", "submitted"
        SKIPPED = "skipped", "skipped"  # never returns to that person
        EXPIRED = "expired", "expired"
        SURPLUS = (
            "surplus",
            "surplus",
        )  # answered after the lease, when no slot was left: kept, exported flagged, not counted

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments")
    slot = models.PositiveSmallIntegerField(null=True, blank=True)
    state = models.CharField(max_length=9, choices=State.choices)
    lease_expires_at = models.DateTimeField()
    order_shown = models.JSONField(default=list, help_text="completion ids in the order on screen")
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
                | Q(state__in=("skipped", "expired", "surplus"), slot__isnull=True),
                name="a_slot_while_it_counts",
            ),
        )
        indexes = (models.Index(fields=("labeler", "state")), models.Index(fields=("state", "lease_expires_at")))


class Submission(models.Model):
    """One answer as it arrived, exactly once. A revision is one more row; the latest revision counts."""

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, related_name="submissions")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="submissions")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="submissions")
    submission_id = models.UUIDField(help_text="made by the client; retries carry the same one")
    body = models.JSONField()
    body_sha256 = models.CharField(max_length=64)
    revision = models.PositiveIntegerField(default=1)
    protocol_revision = models.PositiveIntegerField()
    active_s = models.FloatField(default=0.0, help_text="active seconds, as the page measured them")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("labeler", "submission_id"), name="a_submission_is_stored_once"),
            models.UniqueConstraint(fields=("assignment", "revision"), name="a_revision_is_stored_once"),
        )
        indexes = (models.Index(fields=("project", "labeler", "created_at")),)


class Demonstration(models.Model):
    """An ideal answer by a person, or one that was imported (then without submission)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="demonstrations")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="demonstrations")
    submission = models.OneToOneField(
        Submission, null=True, blank=True, on_delete=models.PROTECT, related_name="demonstration"
    )
    text = models.TextField(max_length=MAX_TEXT)
    source = models.CharField(max_length=60, default="labeler")
    counts = models.BooleanField(default=True, help_text="false for surplus answers and for earlier revisions")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("project", "counts", "id")),)


class Ranking(models.Model):
    """Ranks of the completions of one task: 1 is best, equal ranks are ties."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rankings")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rankings")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="rankings")
    submission = models.OneToOneField(Submission, on_delete=models.PROTECT, related_name="ranking")
    completion_ids = models.JSONField(help_text="in the order of the task")
    ranks = models.JSONField(help_text="one per completion id")
    counts = models.BooleanField(default=True, help_text="false for surplus answers and for earlier revisions")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("project", "counts", "id")),)


class Labeler(Membership):
    """A member as the administration lists them: by what they labeled."""

    class Meta:
        proxy = True
