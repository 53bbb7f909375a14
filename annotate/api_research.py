"""The REST door to what people answered, for researchers: every answer as it arrived, and what it was given under."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from annotate.models import Assignment, Protocol, Submission, Task
from rlhf.api import InProject
from rlhf.models import Membership

STATES = [
    (state, state.value)
    for state in (
        Assignment.State.SUBMITTED, Assignment.State.SURPLUS, Assignment.State.QUARANTINED,
        Assignment.State.ADJUDICATED,
    )
]  # fmt: skip


class GivenAnswerSerializer(serializers.ModelSerializer[Submission]):
    state = serializers.ChoiceField(source="assignment.state", choices=STATES)
    labeler = serializers.CharField(source="pseudonym", help_text="pseudonym; `former member` for people who left")
    task = serializers.IntegerField(source="assignment.task_id")
    kind = serializers.ChoiceField(source="assignment.task.kind", choices=Protocol.Kind.choices)
    purpose = serializers.ChoiceField(source="assignment.task.purpose", choices=Task.Purpose.choices)
    batch = serializers.CharField(source="assignment.task.batch")
    iteration = serializers.IntegerField(source="assignment.task.iteration")
    prompt = serializers.IntegerField(source="assignment.task.prompt_id", allow_null=True)
    protocol = serializers.IntegerField(source="assignment.task.protocol_id")
    slot = serializers.IntegerField(source="assignment.slot", allow_null=True)
    completion_ids = serializers.ListField(
        source="assignment.order_shown", child=serializers.IntegerField(),
        help_text="in the order on screen: the first is `a` in the answer",
    )  # fmt: skip
    answer = serializers.DictField(source="body")
    is_latest = serializers.BooleanField(help_text="no later revision by this person")
    submitted_at = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Submission
        fields = (
            "id", "task", "assignment", "kind", "purpose", "batch", "iteration", "prompt", "completion_ids", "answer",
            "labeler", "state", "slot", "revision", "is_latest", "protocol", "protocol_revision", "guideline_revision",
            "active_s", "gold_score", "submitted_at",
        )  # fmt: skip


class GivenAnswerFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(field_name="assignment__state", choices=STATES)
    kind = django_filters.ChoiceFilter(field_name="assignment__task__kind", choices=Protocol.Kind.choices)
    purpose = django_filters.ChoiceFilter(field_name="assignment__task__purpose", choices=Task.Purpose.choices)
    batch = django_filters.CharFilter(field_name="assignment__task__batch")
    iteration = django_filters.NumberFilter(field_name="assignment__task__iteration")
    task = django_filters.NumberFilter(field_name="assignment__task")
    labeler = django_filters.CharFilter(field_name="pseudonym")

    class Meta:
        model = Submission
        fields = ("protocol_revision", "revision")


class GivenAnswerList(InProject, ListAPIView[Submission]):
    """Every answer that people gave, revisions and those that do not count included, in the order of arrival."""

    queryset = Submission.objects.select_related("assignment__task")
    serializer_class = GivenAnswerSerializer
    filterset_class = GivenAnswerFilter

    def get_queryset(self) -> QuerySet[Any]:
        own = Membership.objects.filter(project=OuterRef("project"), user=OuterRef("labeler"))
        later = Submission.objects.filter(assignment=OuterRef("assignment"), revision__gt=OuterRef("revision"))
        return (
            super()
            .get_queryset()
            .annotate(
                pseudonym=Coalesce(Subquery(own.values("pseudonym")), Value("former member")), is_latest=~Exists(later)
            )
        )
