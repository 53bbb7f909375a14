"""What tasks ask: protocols, their revisions, and who may work under them."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from rlhf.models import Project


class Protocol(models.Model):
    """What one kind of task asks. A change makes a new revision, and every answer stores the one it was given under.

    Lists of choices (flags, aspects, categories, skip reasons) are JSON: {"name": slug, "labels": {language: text}}.
    """

    class Kind(models.TextChoices):
        DEMONSTRATE = "demonstrate", _("write the ideal answer")
        RANK = "rank", _("rank the answers")
        COMPARE = "compare", _("compare two answers")
        PROMPT = "prompt", _("write a prompt")

    class Strength(models.TextChoices):
        NONE = "", _("not asked")
        FOUR = "four", _("4 levels (Llama 2): significantly, better, slightly, negligibly or unsure")
        SEVEN = "seven", _("7 points (HelpSteer): three either way and about the same")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="protocols")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=80)
    is_default = models.BooleanField(default=True, help_text="the loop opens its tasks of this kind under it")
    guidelines = models.TextField(blank=True, max_length=20_000, help_text="Markdown, shown beside the task")
    guideline_translations = models.JSONField(
        default=dict, blank=True, help_text="Markdown by interface language; where one is missing, the above is shown"
    )
    confirm_guidelines = models.BooleanField(
        default=False, help_text="asks to confirm the guidelines before the first task; changed ones are always asked"
    )
    content_warning = models.CharField(
        max_length=300, blank=True, help_text="shown before such a task; a labeler can opt out of them"
    )
    num_completions = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(2), MaxValueValidator(9)], help_text="K of a ranking"
    )
    allow_ties = models.BooleanField(default=True)
    allow_all_bad = models.BooleanField(default=False, help_text='offers "both bad": none of the answers will do')
    strength = models.CharField(
        max_length=5, choices=Strength.choices, blank=True, default=Strength.NONE,
        help_text="how much better, where two answers are shown",
    )  # fmt: skip
    rate_completions = models.BooleanField(default=False, help_text="1 to 7 for each answer, before the ranking")
    flags = models.JSONField(default=list, blank=True, help_text="yes or no questions about each answer")
    aspects = models.JSONField(default=list, blank=True, help_text="a preference of its own for each")
    ask_pair_safety = models.BooleanField(default=False, help_text="chosen safe, both safe or neither (Llama 2)")
    reason_min_characters = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(2_000)],
        help_text="of the written reason; 0 asks for one without demanding it, empty does not ask",
    )  # fmt: skip
    edit_best = models.BooleanField(
        default=False, help_text="offers to edit the best answer: edited > chosen > rejected"
    )
    categories = models.JSONField(default=list, blank=True, help_text="one of them is chosen for the prompt")
    skip_reasons = models.JSONField(
        default=list, blank=True, help_text="offered on skipping, besides a text of one's own"
    )
    overlap = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(20)], help_text="people per task"
    )
    lease_minutes = models.PositiveSmallIntegerField(default=30, validators=[MinValueValidator(1)])
    gold_percent = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(50)], help_text="of a person's tasks are gold, silently"
    )
    qualification_size = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(50)],
        help_text="tasks with explained feedback before the work; 0 asks for none",
    )  # fmt: skip
    qualification_percent = models.PositiveSmallIntegerField(
        default=75, validators=[MaxValueValidator(100)], help_text="of them right to pass"
    )
    auto_pause = models.BooleanField(
        default=True, help_text="pauses a person whose answers break the quality rules; else the rules only warn"
    )
    daily_limit = models.PositiveSmallIntegerField(null=True, blank=True, help_text="tasks per person and day")
    revision = models.PositiveIntegerField(default=1)
    guideline_revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("project", "kind"), condition=Q(is_default=True), name="one_default_protocol_per_kind"
            ),
            models.UniqueConstraint(fields=("project", "name"), name="protocol_names_differ"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.get_kind_display()})"


class ProtocolRevision(models.Model):
    """A protocol as it stood, guidelines included: an answer is checked against the one it was given under."""

    protocol = models.ForeignKey(Protocol, on_delete=models.CASCADE, related_name="revisions")
    revision = models.PositiveIntegerField()
    guideline_revision = models.PositiveIntegerField()
    content = models.JSONField(help_text="every field of the protocol that shapes an answer")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("revision",)
        constraints = (models.UniqueConstraint(fields=("protocol", "revision"), name="a_revision_is_written_once"),)


class Qualification(models.Model):
    """A person's way through the qualification tasks of a protocol."""

    class State(models.TextChoices):
        IN_PROGRESS = "in_progress", _("in progress")
        PASSED = "passed", _("passed")
        FAILED = "failed", _("failed")

    protocol = models.ForeignKey(Protocol, on_delete=models.CASCADE, related_name="qualifications")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="qualifications")
    state = models.CharField(max_length=11, choices=State.choices, default=State.IN_PROGRESS)
    num_answered = models.PositiveSmallIntegerField(default=0)
    num_right = models.PositiveSmallIntegerField(default=0)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("protocol", "labeler"), name="one_qualification_per_person"),)


class GuidelineReading(models.Model):
    """A person confirmed that they read this revision of the guidelines."""

    protocol = models.ForeignKey(Protocol, on_delete=models.CASCADE, related_name="readings")
    labeler = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    guideline_revision = models.PositiveIntegerField()
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("protocol", "labeler", "guideline_revision"), name="a_reading_once"),
        )
