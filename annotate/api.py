"""The labeling door: next, draft, submit, skip. The page and every other client come through it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate import assignment as assignments
from annotate import submissions
from annotate.parsers import BoundedJSONParser
from annotate.serializers import (
    AnswerSerializer,
    DraftSavedSerializer,
    DraftSerializer,
    NextSerializer,
    SkipSerializer,
    SubmittedSerializer,
    progress_json,
    stored_json,
    task_json,
)
from rlhf.access import LABELERS, Access, access
from rlhf.models import Scope


class LabelingView(APIView):
    parser_classes = (BoundedJSONParser,)


class NextView(LabelingView):
    @extend_schema(request=None, responses=NextSerializer, operation_id="labeling_next")
    def post(self, request: Request, project: str) -> Response:
        """Your next task, or the one that you hold; null when nothing is left for you."""
        return Response(next_json(access=_labeler(request, project), now=timezone.now()))


class DraftView(LabelingView):
    @extend_schema(request=DraftSerializer, responses=DraftSavedSerializer, operation_id="labeling_draft")
    def put(self, request: Request, project: str, assignment: int) -> Response:
        """Store what you have so far and renew the lease. State `expired`: kept, but the task's slot is gone."""
        who = _labeler(request, project)
        draft = _valid(DraftSerializer, request)["draft"]
        saved = assignments.save_draft(access=who, assignment_id=assignment, draft=draft, now=timezone.now())
        shown = DraftSavedSerializer(
            {
                "assignment": saved.pk,
                "state": saved.state,
                "draft_saved_at": saved.draft_saved_at,
                "lease_expires_at": saved.lease_expires_at,
            }
        )
        return Response(shown.data)


class SubmitView(LabelingView):
    @extend_schema(request=AnswerSerializer, responses=SubmittedSerializer, operation_id="labeling_submit")
    def post(self, request: Request, project: str, assignment: int) -> Response:
        """Store your answer, exactly once for each submission id, and get your next task."""
        who, now = _labeler(request, project), timezone.now()
        answer = submissions.Answer(**_valid(AnswerSerializer, request))
        stored = submissions.submit(access=who, assignment_id=assignment, answer=answer, now=now)
        return Response({"stored": stored_json(stored), **next_json(access=who, now=now)})


class SkipView(LabelingView):
    @extend_schema(request=SkipSerializer, responses=NextSerializer, operation_id="labeling_skip")
    def post(self, request: Request, project: str, assignment: int) -> Response:
        """Give a task back for good, with a reason, and get your next task."""
        who = _labeler(request, project)
        assignments.skip(access=who, assignment_id=assignment, reason=_valid(SkipSerializer, request)["reason"])
        return Response(next_json(access=who, now=timezone.now()))


def next_json(*, access: Access, now: datetime) -> dict[str, Any]:
    """The next task and the person's progress (NextSerializer's shape)."""
    held = assignments.next_task(access=access, now=now)
    progress = assignments.progress(access=access, now=now)
    return {
        "next": held and task_json(assignment=held, progress=progress),
        "progress": progress_json(progress),
    }


def _labeler(request: Request, project: str) -> Access:
    return access(request=request, project=project, roles=LABELERS, scope=Scope.LABEL)


def _valid(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)
