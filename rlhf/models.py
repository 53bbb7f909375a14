"""The record of learning: rows only. What may happen to them is decided in the modules named like them.

Every row reaches one Project by a non-null key. A product does not point at its producer: versions and snapshots
know no run; a run points at what it used and what it made.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

MAX_TEXT = 100_000  # characters of a prompt, a completion or an answer
JSON = dict[str, object]


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

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="versions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=60, help_text="v0, v1 ... for candidates; rm1, bon1 ... for artifacts")
    number = models.PositiveIntegerField(null=True, blank=True, help_text="of a candidate policy; 0 is the SFT version")
    iteration = models.PositiveIntegerField(default=0)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    path = models.CharField(max_length=500, blank=True, help_text="folder on storage; empty for a model taken by name")
    source = models.CharField(max_length=500, blank=True, help_text="name or path of a model taken from elsewhere")
    weights_sha256 = models.CharField(max_length=64, blank=True)
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
        IMPORT = "import", "importing answers"  # done where the file comes in, never queued

    class Resource(models.TextChoices):
        GPU = "gpu", "gpu"
        CPU = "cpu", "cpu"

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    resource = models.CharField(max_length=4, choices=Resource.choices)
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


class Judge(models.Model):
    """Who gives verdicts. A changed judge is another judge: the identity is a hash of all that shapes a verdict."""

    class Kind(models.TextChoices):
        REWARD_MODEL = "reward_model", "reward model"
        PEOPLE = "people", "people"
        GOLD = "gold", "hidden truth of the demo"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judges")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=80)
    identity = models.CharField(max_length=64)
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
    score = models.FloatField(help_text="of the candidate: 1 won, 0.5 tie, 0 lost")
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
        indexes = (models.Index(fields=("evaluation", "judge", "prompt")),)


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


class Promotion(models.Model):
    """The decision on a candidate, taken once and stored with the numbers that it was taken on."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="promotions")
    candidate = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, related_name="promotion")
    baseline = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    estimate = models.ForeignKey(Estimate, null=True, blank=True, on_delete=models.PROTECT, related_name="promotions")
    promoted = models.BooleanField()
    reason = models.CharField(max_length=300)
    decided_at = models.DateTimeField()
