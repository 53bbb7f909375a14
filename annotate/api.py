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
from annotate import guidelines, people, submissions
from annotate.answers import CHECKS, BadAnswer
from annotate.parsers import BoundedJSONParser
from annotate.screens import progress_json, stored_json, task_json
from annotate.serializers import (
    AnswerSerializer,
    DraftSavedSerializer,
    DraftSerializer,
    EnvelopeSerializer,
    NextSerializer,
    ReadSerializer,
    SettingsSerializer,
    SkipSerializer,
    SubmittedSerializer,
    UndoneSerializer,
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
        answer, _holds = _answer(request)
        stored = submissions.submit(access=who, assignment_id=assignment, answer=answer, now=now)
        return Response({**stored_json(stored), **next_json(access=who, now=now)})


class UndoView(LabelingView):
    @extend_schema(request=None, responses=UndoneSerializer, operation_id="labeling_undo")
    def post(self, request: Request, project: str) -> Response:
        """Your last answer, to be revised: submit it with `revises`. 409 once the time for it is over."""
        who, now = _labeler(request, project), timezone.now()
        last = submissions.undo(access=who, now=now)
        progress = assignments.progress(access=who, now=now)
        return Response({"next": task_json(assignment=last.assignment, progress=progress, revised=last)})


class GuidelinesReadView(LabelingView):
    @extend_schema(request=ReadSerializer, responses={204: None}, operation_id="labeling_guidelines_read")
    def post(self, request: Request, project: str, protocol: int) -> Response:
        """Confirm that you have read this revision of the guidelines."""
        who = _labeler(request, project)
        revision = _valid(ReadSerializer, request)["revision"]
        guidelines.confirm(access=who, protocol_id=protocol, revision=revision, now=timezone.now())
        return Response(status=204)


class SettingsView(LabelingView):
    @extend_schema(request=SettingsSerializer, responses={204: None}, operation_id="labeling_settings")
    def put(self, request: Request, project: str) -> Response:
        """Choose what you are given."""
        who = _labeler(request, project)
        people.choose(access=who, declines_warned=_valid(SettingsSerializer, request)["declines_warned"])
        return Response(status=204)


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
        "confirmed": None,
        "prefetched": None,
        "progress": progress_json(progress),
    }


def _labeler(request: Request, project: str) -> Access:
    return access(request=request, project=project, roles=LABELERS, scope=Scope.LABEL)


def _answer(request: Request) -> tuple[submissions.Answer, int | None]:
    """The answer, of which only the envelope is checked here, and the prefetched assignment that the page holds."""
    if not isinstance(request.data, dict):
        raise BadAnswer("answer", f"expected a JSON object, found {type(request.data).__name__}")
    envelope = EnvelopeSerializer(data=request.data)
    if not envelope.is_valid():
        field, errors = next(iter(envelope.errors.items()))
        raise BadAnswer(field, str(errors[0]))
    holds = envelope.validated_data.pop("holds")
    given = {name: value for name, value in request.data.items() if name not in EnvelopeSerializer().fields}
    for name in given.keys() - CHECKS.keys():
        raise BadAnswer(name if name.isascii() else repr(name), "no answer has such a part")
    return submissions.Answer(**given, **envelope.validated_data), holds


def _valid(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)
