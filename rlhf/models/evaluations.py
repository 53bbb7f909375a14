"""Who won: judges, their verdicts, the estimates made of them, and the decisions taken on these."""

from __future__ import annotations

from django.db import models

from rlhf.models.products import DatasetSnapshot, ModelVersion
from rlhf.models.projects import Project, Prompt, Split
from rlhf.models.runs import Completion, Run


class Judge(models.Model):
    """Who gives verdicts. A changed judge is another judge: the identity is a hash of all that shapes a verdict."""

    class Kind(models.TextChoices):
        REWARD_MODEL = "reward_model", "reward model"
        PEOPLE = "people", "people"
        GOLD = "gold", "hidden truth of the demo"
        LLM = "llm", "language model"
        VERIFIER = "verifier", "verifier"
        IMPORTED = "imported", "judged elsewhere"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judges")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=80)
    identity = models.CharField(max_length=64)
    settings = models.JSONField(default=dict, help_text="all that the identity is a hash of, readable")
    version = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="judges")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("project", "identity"), name="judge_once_per_identity"),)

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """Candidate against baseline on the same prompts; it selects verdicts and is the place of their estimates."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluations")
    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluations_as_candidate")
    baseline = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluations_as_baseline")
    iteration = models.PositiveIntegerField()
    requested_at = models.DateTimeField(
        null=True, blank=True, help_text="somebody asked for it, or registered a rival: whatever it lacks is planned"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("project", "candidate", "baseline"), name="a_pair_is_evaluated_once"),
        )

    def __str__(self) -> str:
        return f"{self.candidate} against {self.baseline}"


class Verdict(models.Model):
    """Who won, by one judge and rater. Verdicts are the only truth; every number on a page comes from them."""

    class Position(models.TextChoices):
        CANDIDATE_FIRST = "candidate_first", "candidate first"
        BASELINE_FIRST = "baseline_first", "baseline first"
        NONE = "none", "each answer alone"

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="verdicts")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="verdicts")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="verdicts")
    candidate_completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    baseline_completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    judge = models.ForeignKey(Judge, on_delete=models.PROTECT, related_name="verdicts")
    rater = models.CharField(max_length=40, blank=True, help_text="pseudonym of the person; empty for machines")
    position = models.CharField(max_length=15, choices=Position.choices, default=Position.NONE)
    replicate = models.PositiveIntegerField(default=0)
    score = models.FloatField(help_text="of the candidate: 1 won, 0.5 tie, 0 lost; between: the judge's probability")
    note = models.TextField(blank=True, max_length=4_000, help_text="what the judge said, as it came")
    candidate_reward = models.FloatField(null=True, blank=True)
    baseline_reward = models.FloatField(null=True, blank=True)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="verdicts")
    attempt = models.PositiveIntegerField(default=0)
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="a person revised it (the new one has the next replicate) or is quarantined"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=(
                    "prompt",
                    "candidate_completion",
                    "baseline_completion",
                    "judge",
                    "rater",
                    "position",
                    "replicate",
                    "attempt",
                ),
                name="a_verdict_is_given_once",
            ),
        )
        indexes = (
            models.Index(fields=("evaluation", "judge", "prompt")),
            # Whether there are verdicts that no overview holds is asked every second.
            models.Index(fields=("project", "id"), name="verdict_newest"),
            models.Index(
                fields=("project", "withdrawn_at"),
                condition=models.Q(withdrawn_at__isnull=False),
                name="verdict_withdrawn",
            ),
        )


class Estimate(models.Model):
    """A win rate with its interval, made by an `estimate` run from a frozen snapshot of verdicts."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="estimates")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="estimates")
    judge = models.ForeignKey(Judge, on_delete=models.PROTECT, related_name="estimates")
    split = models.CharField(max_length=8, choices=[*Split.choices, ("all", "all")])
    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.PROTECT, related_name="estimates")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="estimates")
    attempt = models.PositiveIntegerField()
    num_prompts = models.PositiveIntegerField()
    num_verdicts = models.PositiveIntegerField()
    wins = models.PositiveIntegerField()
    ties = models.PositiveIntegerField()
    losses = models.PositiveIntegerField()
    unsettled = models.PositiveIntegerField(default=0, help_text="prompts on which the two orders disagree")
    win_rate = models.FloatField()
    standard_error = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("evaluation", "judge", "split", "run", "attempt"), name="an_estimate_is_stored_once"
            ),
        )


class EvaluationSnapshot(models.Model):
    """All that a set of frozen verdicts says: the document that pages, charts and permalinks show. Never changed."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluation_snapshots")
    verdicts = models.ForeignKey(DatasetSnapshot, on_delete=models.PROTECT, related_name="evaluation_snapshots")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="evaluation_snapshots")
    attempt = models.PositiveIntegerField()
    document = models.TextField(help_text="canonical JSON, the very bytes of document.json: docs/evaluation.md")
    sha256 = models.CharField(max_length=64, help_text="of the document")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("project", "sha256"), name="evaluation_snapshot_once_per_content"),
        )

    def __str__(self) -> str:
        return f"evaluation {self.sha256[:12]}"


class Promotion(models.Model):
    """The decision on a candidate, taken once and stored with the numbers that it was taken on."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="promotions")
    candidate = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, related_name="promotion")
    baseline = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    estimate = models.ForeignKey(Estimate, null=True, blank=True, on_delete=models.PROTECT, related_name="promotions")
    promoted = models.BooleanField()
    reason = models.CharField(max_length=300)
    decided_at = models.DateTimeField()
