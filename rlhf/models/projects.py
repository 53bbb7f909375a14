"""Projects, who belongs to them, and the prompts that they ask."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

MAX_TEXT = 100_000  # characters of a prompt, a completion or an answer


class Split(models.TextChoices):
    TRAIN = "train", "train"
    HELD_OUT = "held_out", "held out"


class Role(models.TextChoices):
    LABELER = "labeler", _("labeler")
    RESEARCHER = "researcher", _("researcher")
    MANAGER = "manager", _("manager")


class Scope(models.TextChoices):
    READ = "read", "read datasets, runs, versions and evaluations"
    WRITE = "write", "read, and write prompts and runs"
    LABEL = "label", "label"


class Project(models.Model):  # type: ignore[django-manager-missing]  # knox has no types for its tokens
    class State(models.TextChoices):
        SETUP = "setup", _("setting up")  # exists, the loop does not run yet
        ACTIVE = "active", _("active")
        PAUSED = "paused", _("paused")
        FINISHED = "finished", _("finished")  # the number of rounds asked for is reached

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True, max_length=2_000)
    base_model = models.CharField(max_length=500, help_text="name or path, as from_pretrained takes it")
    prompt_format = models.CharField(
        max_length=8, choices=[("chat", "chat template"), ("plain", "plain")], default="chat"
    )
    salt = models.CharField(max_length=32, help_text="makes this project's train and held-out split its own")
    held_out_share = models.FloatField(default=0.2, validators=[MinValueValidator(0.01), MaxValueValidator(0.9)])
    loop = models.JSONField(default=dict, help_text="settings of the loop: docs/loop.md lists them")
    state = models.CharField(max_length=8, choices=State.choices, default=State.SETUP)
    state_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    pseudonym = models.CharField(max_length=40, help_text="how this person appears in datasets")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("project", "user"), name="one_membership_per_person"),
            models.UniqueConstraint(fields=("project", "pseudonym"), name="pseudonyms_differ"),
        )

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.project}"


class ProjectToken(AbstractAuthToken):
    """A REST token: hashed and expiring (knox), for one project and one scope."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tokens")
    scope = models.CharField(max_length=5, choices=Scope.choices, default=Scope.READ)
    name = models.CharField(max_length=60, blank=True)


class Prompt(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField(help_text='list of {"role", "content"}; the last one is the user\'s')
    sha256 = models.CharField(max_length=64, help_text="of the messages in canonical JSON")
    split = models.CharField(max_length=8, choices=Split.choices)
    category = models.CharField(max_length=60, blank=True)
    target = models.CharField(
        max_length=2_000, blank=True, help_text="the right answer, or a pattern of it: what a verifier compares with"
    )
    source = models.CharField(max_length=60, default="import")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("project", "sha256"), name="prompt_once_per_project"),)
        indexes = (models.Index(fields=("project", "split", "id")),)

    def __str__(self) -> str:
        return str(self.messages[-1]["content"])[:80]
