"""The people who label, as the administration lists them, and their standing."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from rlhf.models import Membership, Project


class LabelerProfile(models.Model):
    """A labeler's standing in a project, and what they chose. There from the first task on."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="labeler_profiles")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="labeler_profiles")
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        help_text="empty where the quality rules did it",
    )  # fmt: skip
    checked_from = models.DateTimeField(
        null=True, blank=True, help_text="answers before it were judged already: a person who may go on starts afresh"
    )
    num_gold = models.PositiveIntegerField(
        default=0, help_text="gold tasks answered since the start, or since the last pause"
    )
    num_gold_right = models.PositiveIntegerField(default=0)
    declines_warned = models.BooleanField(default=False, help_text="takes no tasks with a content warning")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("project", "labeler"), name="one_profile_per_labeler"),)

    def __str__(self) -> str:
        return f"{self.labeler} in {self.project}"


class Sequence(models.Model):
    """How far a person came through a project's tasks. The person's own requests queue behind this row."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sequences")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    places = models.JSONField(
        default=dict,
        help_text='by protocol: {"num": tasks begun, "from": {priority: queue place of the first not seen}}',
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=("project", "labeler"), name="one_sequence_per_person"),)


class Labeler(Membership):
    """A member as the administration lists them: by what they labeled."""

    class Meta:
        proxy = True
