"""What runs make: versions of models, their report cards, frozen datasets. A product does not point at its producer."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rlhf.models.projects import Project


class ModelVersion(models.Model):
    """Weights on storage. Policies that the loop proposes are numbered candidates; the rest are artifacts."""

    class Kind(models.TextChoices):
        BASE = "base", "base model"
        SFT = "sft", "SFT"
        REWARD = "reward", "reward model"
        BEST_OF_N = "best_of_n", "best-of-N"
        PPO = "ppo", "PPO"
        DPO = "dpo", "DPO"
        GRPO = "grpo", "GRPO"
        VALUE = "value", "value model"
        ANSWERS = "answers", "file of answers"
        ENDPOINT = "endpoint", "endpoint"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="versions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=60, help_text="v0, v1 ... for candidates; rm1, bon1 ... for artifacts")
    number = models.PositiveIntegerField(null=True, blank=True, help_text="of a candidate policy; 0 is the SFT version")
    iteration = models.PositiveIntegerField(default=0)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    path = models.CharField(max_length=500, blank=True, help_text="folder on storage; empty for a model taken by name")
    source = models.CharField(max_length=500, blank=True, help_text="name or path of a model taken from elsewhere")
    weights_sha256 = models.CharField(max_length=64, blank=True)
    endpoint = models.JSONField(
        default=dict, blank=True, help_text="of a version behind a server: fields of ServerConfig, never a key"
    )
    metrics = models.JSONField(default=dict)
    is_current = models.BooleanField(default=False, help_text="labeling, and the next iteration, start from it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("project", "name"), name="version_names_differ"),
            models.UniqueConstraint(fields=("project",), condition=Q(is_current=True), name="one_current_version"),
        )

    def __str__(self) -> str:
        return self.name


class ReportCard(models.Model):
    """What a reward model can do and what it leans on: `report.json` of the run that made it (docs/learning.md)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="report_cards")
    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="report_card")
    content = models.JSONField(help_text="labelers appear by their pseudonyms alone")
    sha256 = models.CharField(max_length=64, help_text="of the file, as result.json of the run has it")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"report card of {self.version}"


class DatasetSnapshot(models.Model):
    """Frozen rows: a content-hashed Parquet file and its JSONL twin. There is no update path."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    configuration = models.CharField(max_length=20, help_text="demonstrations, rankings, prompts, pairs or verdicts")
    iteration = models.PositiveIntegerField(default=0)
    parameters = models.JSONField(default=dict, help_text="what was selected, and what was left out and why")
    num_rows = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64, help_text="of the Parquet file")
    parquet = models.CharField(max_length=500, help_text="name on storage")
    size = models.PositiveBigIntegerField(default=0, help_text="bytes of the Parquet file")
    jsonl = models.CharField(max_length=500, help_text="name on storage")
    jsonl_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("project", "configuration", "sha256"), name="snapshot_once_per_content"),
        )

    def __str__(self) -> str:
        return f"{self.configuration} {self.sha256[:12]}"
