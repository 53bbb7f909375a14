"""What people gave: submissions as they arrived, and the demonstrations and rankings in them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from annotate.models.tasks import Assignment, Task
from rlhf.models import MAX_TEXT, Project, Prompt


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
    guideline_revision = models.PositiveIntegerField(default=1)
    gold_score = models.FloatField(null=True, blank=True, help_text="share right, where the right answer is known")
    active_s = models.FloatField(default=0.0, help_text="active seconds, as the page measured them")
    shown_characters = models.PositiveIntegerField(
        null=True, blank=True, help_text="of the answers shown, or of the text written; empty until it is judged"
    )
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
    strength = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="of the preference between two: 1 to 4, or 0 to 3 on the scale of seven"
    )
    all_bad = models.BooleanField(default=False)
    edited_completion_id = models.BigIntegerField(null=True, blank=True)
    edited_text = models.TextField(blank=True, max_length=MAX_TEXT, help_text="edited > chosen > rejected")
    names_itself = models.BooleanField(default=False, help_text="an answer gave away which model wrote it")
    is_adjudication = models.BooleanField(default=False)
    counts = models.BooleanField(default=True, help_text="false for surplus answers and for earlier revisions")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("project", "counts", "id")),)
