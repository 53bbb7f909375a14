"""Background work, what it logs while it runs, and the answers that it samples."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from rlhf.models.products import DatasetSnapshot, ModelVersion
from rlhf.models.projects import MAX_TEXT, Project, Prompt


class Run(models.Model):
    """One unit of background work. The row is the queue; `rlhf/runs.py` is the only place that changes its state."""

    class Kind(models.TextChoices):
        SFT = "sft", "SFT"
        REWARD = "reward", "reward model"
        SAMPLE = "sample", "sampling"
        BEST_OF_N = "best_of_n", "best-of-N"
        PPO = "ppo", "PPO"
        DPO = "dpo", "DPO"
        GRPO = "grpo", "GRPO"
        JUDGE = "judge", "judging"
        FREEZE = "freeze", "freezing a dataset"
        ESTIMATE = "estimate", "estimating win rates"
        DELIVER = "deliver", "merging weights"
        IMPORT = "import", "importing answers"  # done where the file comes in, never queued

    class Resource(models.TextChoices):
        GPU = "gpu", "gpu"
        CPU = "cpu", "cpu"
        NETWORK = "network", "network"  # waits for somebody else's server, so it never holds a device

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    resource = models.CharField(max_length=8, choices=Resource.choices)
    purpose = models.CharField(max_length=60, blank=True, help_text="what it is for: ranking, evaluation, try, audit")
    iteration = models.PositiveIntegerField(default=0)
    plan_key = models.CharField(max_length=120, help_text="the step that asked for it; asking twice plans once")
    configuration = models.JSONField(default=dict, help_text="fields of the kind's config, without model paths")
    selection = models.JSONField(
        default=dict, help_text="rows to read where there is no snapshot: prompt ids, sample runs"
    )
    policy = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="runs_as_policy"
    )
    reward_model = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="runs_as_reward_model"
    )
    sft = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="runs_as_sft")
    snapshot = models.ForeignKey(
        DatasetSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="runs_as_input"
    )
    demonstrations = models.ForeignKey(
        DatasetSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="runs_as_demonstrations",
        help_text="ideal answers beside the rows: where a reward model's zero lies, and what PPO-ptx mixes in",
    )  # fmt: skip
    evaluation = models.ForeignKey("Evaluation", null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    judge = models.ForeignKey("Judge", null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    made_version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="made_by"
    )
    made_snapshot = models.ForeignKey(
        DatasetSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="made_by"
    )
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=5)
    worker = models.CharField(max_length=100, blank=True)
    machine = models.JSONField(default=dict, help_text="where the latest attempt ran: processor, device, versions")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    phase = models.CharField(max_length=40, blank=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True, max_length=10_000)
    log = models.TextField(blank=True, max_length=100_000, help_text="tail of the child's output")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("project", "plan_key"), name="a_step_is_planned_once"),)
        indexes = (models.Index(fields=("resource", "state", "id")), models.Index(fields=("project", "-id")))

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


class RunMetric(models.Model):
    """One logged step. Counts only when its attempt is the run's latest."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ("step", "id")
        constraints = (models.UniqueConstraint(fields=("run", "attempt", "step"), name="a_step_is_logged_once"),)


class RunAlarm(models.Model):
    """Something that went wrong in a run, told once an attempt. Counts only when its attempt is the run's latest."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="alarms")
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    message = models.CharField(max_length=500, help_text="what was found, the threshold, the cause and what to try")

    class Meta:
        ordering = ("step", "id")
        constraints = (models.UniqueConstraint(fields=("run", "attempt", "name"), name="an_alarm_is_told_once"),)

    def __str__(self) -> str:
        return self.message


class RunSample(models.Model):
    """An answer that the model in training gave at a checkpoint. Counts only when its attempt is the run's latest."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="+")
    text = models.TextField(max_length=MAX_TEXT)
    score = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ("step", "prompt_id")
        constraints = (
            models.UniqueConstraint(
                fields=("run", "attempt", "step", "prompt"), name="a_checkpoint_answers_a_prompt_once"
            ),
        )

    def __str__(self) -> str:
        return self.text[:80]


class Completion(models.Model):
    """An answer by a version. Visible, for everybody, if and only if `run` succeeded at `attempt`."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="completions")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="completions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="completions")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="completions")
    attempt = models.PositiveIntegerField()
    sample_index = models.PositiveIntegerField()
    text = models.TextField(max_length=MAX_TEXT)
    num_tokens = models.PositiveIntegerField()
    finished = models.BooleanField(help_text="ended by end-of-text")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("run", "attempt", "prompt", "sample_index"), name="a_sample_is_stored_once"
            ),
        )
        indexes = (models.Index(fields=("prompt", "version")),)

    def __str__(self) -> str:
        return self.text[:80]
