"""Rows as JSON. Keys are the columns' names; a related row appears by its id."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rlhf import alarms
from rlhf.models import (
    DatasetSnapshot,
    Estimate,
    Evaluation,
    EvaluationSnapshot,
    Judge,
    ModelVersion,
    Prompt,
    ReportCard,
    Run,
    RunAlarm,
    Verdict,
)


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    class Meta:
        model = Prompt
        fields = ("id", "messages", "sha256", "split", "category", "target", "source", "created_at")


class NewPromptSerializer(serializers.Serializer[dict[str, object]]):
    """For the OpenAPI page; rlhf/prompts.py checks the rows."""

    prompt = serializers.CharField(required=False, help_text="one question; or messages instead")
    messages = serializers.JSONField(required=False, help_text='list of {"role", "content"}, the last one the user\'s')
    category = serializers.CharField(required=False, max_length=60)
    target = serializers.CharField(required=False, max_length=2_000, help_text="what a verifier compares answers with")


class BadRowSerializer(serializers.Serializer[dict[str, object]]):
    row = serializers.IntegerField(help_text="place in the list, from 1")
    message = serializers.CharField()


class AddedSerializer(serializers.Serializer[dict[str, object]]):
    num_added = serializers.IntegerField()
    num_duplicates = serializers.IntegerField()
    bad_rows = BadRowSerializer(many=True)


class SnapshotSerializer(serializers.ModelSerializer[DatasetSnapshot]):
    links = serializers.SerializerMethodField()

    class Meta:
        model = DatasetSnapshot
        fields = (
            "id", "configuration", "iteration", "parameters", "num_rows", "sha256", "size", "jsonl_sha256",
            "created_at", "links",
        )  # fmt: skip

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string", "format": "uri"}})
    def get_links(self, snapshot: DatasetSnapshot) -> dict[str, str]:
        names = {"project": self.context["project"].slug, "pk": snapshot.pk}
        build = self.context["request"].build_absolute_uri
        return {kind: build(reverse(f"api-snapshot-{kind}", kwargs=names)) for kind in ("parquet", "jsonl")}


RUN_FIELDS = (
    "id", "kind", "resource", "purpose", "iteration", "plan_key", "state", "attempt", "max_attempts", "worker",
    "heartbeat_at", "cancel_requested_at", "step", "total_steps", "phase", "policy", "reward_model", "sft", "snapshot",
    "demonstrations", "evaluation", "made_version", "made_snapshot", "error", "created_at", "started_at", "ended_at",
)  # fmt: skip


class RunSerializer(serializers.ModelSerializer[Run]):
    class Meta:
        model = Run
        fields = RUN_FIELDS


class AlarmSerializer(serializers.ModelSerializer[RunAlarm]):
    class Meta:
        model = RunAlarm
        fields = ("step", "name", "message")


class RunDetailSerializer(serializers.ModelSerializer[Run]):
    alarms = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (*RUN_FIELDS, "configuration", "selection", "result", "log", "alarms")

    @extend_schema_field(AlarmSerializer(many=True))
    def get_alarms(self, run: Run) -> object:
        return AlarmSerializer(alarms.of_run(run=run), many=True).data


class MetricsSerializer(serializers.Serializer[dict[str, object]]):
    attempt = serializers.IntegerField()
    points = serializers.ListField(child=serializers.DictField())


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = (
            "id", "name", "kind", "number", "iteration", "parent", "source", "weights_sha256", "endpoint", "metrics",
            "is_current", "created_at",
        )  # fmt: skip


class NewRivalSerializer(serializers.Serializer[dict[str, object]]):
    """For the OpenAPI page; rlhf/rivals.py checks it."""

    name = serializers.CharField(max_length=60)
    kind = serializers.ChoiceField(choices=["endpoint", "answers"], default="endpoint")
    endpoint = serializers.JSONField(
        required=False, help_text="base_url and model, perhaps api_key_env (the name of a variable, never a key)"
    )
    evaluate = serializers.BooleanField(default=True, help_text="compare an endpoint with the current version at once")


class NewEvaluationSerializer(serializers.Serializer[dict[str, object]]):
    candidate = serializers.JSONField(help_text="id or name of a version")
    baseline = serializers.JSONField(help_text="id or name of a version")


class NewAnswerSerializer(serializers.Serializer[dict[str, object]]):
    """For the OpenAPI page; rlhf/answer_imports.py checks the rows."""

    prompt = serializers.JSONField(help_text="a text, or messages")
    answer = serializers.CharField()
    category = serializers.CharField(required=False, max_length=60)


class ImportedAnswersSerializer(serializers.Serializer[dict[str, object]]):
    version = serializers.IntegerField()
    num_added = serializers.IntegerField()
    num_duplicates = serializers.IntegerField()
    num_prompts_added = serializers.IntegerField()


class NewVerdictSerializer(serializers.Serializer[dict[str, object]]):
    """For the OpenAPI page; rlhf/verdict_files.py checks the rows."""

    prompt = serializers.JSONField(help_text="a text, or messages")
    candidate = serializers.CharField(max_length=60)
    candidate_answer = serializers.CharField()
    baseline = serializers.CharField(max_length=60)
    baseline_answer = serializers.CharField()
    judge = serializers.JSONField(help_text="a name, or an object with a name and whatever makes it another judge")
    score = serializers.FloatField(min_value=0, max_value=1, help_text="of the candidate: 1 won, 0.5 tie, 0 lost")
    position = serializers.ChoiceField(choices=Verdict.Position.choices, required=False)
    rater = serializers.CharField(required=False, max_length=40)
    replicate = serializers.IntegerField(required=False, min_value=0)
    category = serializers.CharField(required=False, max_length=60)
    note = serializers.CharField(required=False, max_length=4_000)


class ImportedVerdictsSerializer(serializers.Serializer[dict[str, object]]):
    run = serializers.IntegerField()
    is_new = serializers.BooleanField(help_text="false where the same rows had been imported before")
    num_skipped = serializers.IntegerField()
    num_verdicts = serializers.IntegerField()
    num_duplicates = serializers.IntegerField()
    evaluations = serializers.ListField(child=serializers.IntegerField())
    judges = serializers.ListField(child=serializers.IntegerField())


class ReportCardSerializer(serializers.ModelSerializer[ReportCard]):
    class Meta:
        model = ReportCard
        fields = ("version", "content", "sha256", "created_at")


class JudgeSerializer(serializers.ModelSerializer[Judge]):
    class Meta:
        model = Judge
        fields = ("id", "kind", "name", "identity", "version")


class EstimateSerializer(serializers.ModelSerializer[Estimate]):
    judge = JudgeSerializer()

    class Meta:
        model = Estimate
        fields = (
            "judge", "split", "snapshot", "run", "num_prompts", "num_verdicts", "wins", "ties", "losses",
            "unsettled", "win_rate", "standard_error", "low", "high",
        )  # fmt: skip


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """Needs `estimates` in the context: those of each evaluation, by its id."""

    estimates = serializers.SerializerMethodField()

    class Meta:
        model = Evaluation
        fields = ("id", "candidate", "baseline", "iteration", "requested_at", "created_at", "estimates")

    @extend_schema_field(EstimateSerializer(many=True))
    def get_estimates(self, evaluation: Evaluation) -> object:
        return EstimateSerializer(self.context["estimates"].get(evaluation.pk, []), many=True).data


class EvaluationSnapshotSerializer(serializers.ModelSerializer[EvaluationSnapshot]):
    """Without its document, which has an address of its own."""

    class Meta:
        model = EvaluationSnapshot
        fields = ("id", "sha256", "verdicts", "run", "created_at")


class VerdictSerializer(serializers.ModelSerializer[Verdict]):
    class Meta:
        model = Verdict
        fields = (
            "id", "evaluation", "prompt", "candidate_completion", "baseline_completion", "judge", "rater", "position",
            "replicate", "score", "candidate_reward", "baseline_reward", "run", "created_at",
        )  # fmt: skip
