"""The labeling door: from next to undo. The page and every other client come through it."""

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
from annotate import guidelines, leases, nothing_left, people, qualifications, submissions
from annotate.answers import CHECKS, BadAnswer, shown_name
from annotate.assignment import Turn
from annotate.models import Assignment
from annotate.parsers import BoundedJSONParser
from annotate.screens import progress_json, stored_json, task_json
from annotate.serializers import (
    AnswerSerializer,
    DraftSavedSerializer,
    DraftSerializer,
    EnvelopeSerializer,
    HoldsSerializer,
    LeaseSerializer,
    NextSerializer,
    PrefetchedSerializer,
    ReadSerializer,
    SettingsSerializer,
    SkipSerializer,
    SubmittedSerializer,
    UndoneSerializer,
)
from rlhf.access import LABELERS, Access, access
from rlhf.models import Scope

ENVELOPE = frozenset(EnvelopeSerializer().fields)


class LabelingView(APIView):
    parser_classes = (BoundedJSONParser,)


class NextView(LabelingView):
    @extend_schema(request=HoldsSerializer, responses=NextSerializer, operation_id="labeling_next")
    def post(self, request: Request, project: str) -> Response:
        """Your next task, or the one that you hold; null when nothing is left for you.

        Where the prefetched task that your page `holds` is the next one, only its id comes back, as `confirmed`.
        """
        who, holds = _labeler(request, project), _valid(HoldsSerializer, request)["holds"]
        return Response(next_json(access=who, now=timezone.now(), holds=holds))


class PrefetchView(LabelingView):
    @extend_schema(request=None, responses=PrefetchedSerializer, operation_id="labeling_prefetch")
    def post(self, request: Request, project: str) -> Response:
        """A task reserved for your next turn, for a minute. Asking again renews it; unused, it was never yours."""
        who, now = _labeler(request, project), timezone.now()
        reserved = assignments.prefetch(access=who, now=now)
        progress = assignments.progress(access=who, now=now)
        return Response({"prefetched": reserved and task_json(assignment=reserved, progress=progress)})


class DraftView(LabelingView):
    @extend_schema(request=DraftSerializer, responses=DraftSavedSerializer, operation_id="labeling_draft")
    def put(self, request: Request, project: str, assignment: int) -> Response:
        """Store what you have so far and renew the lease. State `expired`: kept, but the task's slot is gone.

        409 with `newer` where another browser saved a draft after the one that `follows` names.
        """
        who, now = _labeler(request, project), timezone.now()
        saved = leases.save_draft(access=who, assignment_id=assignment, now=now, **_valid(DraftSerializer, request))
        shown = DraftSavedSerializer(
            {
                "assignment": saved.pk,
                "state": saved.state,
                "draft_saved_at": saved.draft_saved_at,
                "lease_expires_at": saved.lease_expires_at,
            }
        )
        return Response(shown.data)


class RenewView(LabelingView):
    @extend_schema(request=None, responses=LeaseSerializer, operation_id="labeling_renew")
    def post(self, request: Request, project: str, assignment: int) -> Response:
        """You are still at it: the lease starts again. State `expired`: the task's slot is gone, go on all the same."""
        who = _labeler(request, project)
        renewed = leases.renew(access=who, assignment_id=assignment, now=timezone.now())
        return Response({"state": renewed.state, "lease_expires_at": renewed.lease_expires_at.isoformat()})


class SubmitView(LabelingView):
    @extend_schema(request=AnswerSerializer, responses=SubmittedSerializer, operation_id="labeling_submit")
    def post(self, request: Request, project: str, assignment: int) -> Response:
        """Store your answer, exactly once for each submission id, and get your next task and one in advance."""
        who, now = _labeler(request, project), timezone.now()
        answer, holds = _answer(request)
        stored = submissions.submit(access=who, assignment_id=assignment, answer=answer, now=now)
        return Response({**stored_json(stored), **cycle_json(access=who, now=now, holds=holds)})


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
        """Give a task back for good, with a reason of the task's list or your own, and get your next task."""
        who, given = _labeler(request, project), _valid(SkipSerializer, request)
        holds = given.pop("holds")
        leases.skip(access=who, assignment_id=assignment, **given)
        return Response(cycle_json(access=who, now=timezone.now(), holds=holds))


def next_json(*, access: Access, now: datetime, holds: int | None = None) -> dict[str, Any]:
    """The next task and the person's progress (NextSerializer's shape). Raises qualifications.Paused."""
    return _turn_json(assignments.next_turn(access=access, now=now, holds=holds), access, now)


def cycle_json(*, access: Access, now: datetime, holds: int | None) -> dict[str, Any]:
    """As next_json, with one more task in advance. An answer that pauses its person is stored all the same."""
    try:
        turn = assignments.next_turn_and_prefetch(access=access, now=now, holds=holds)
    except qualifications.Paused as paused:
        return {**_turn_json(assignments.NOTHING, access, now), **paused.extra}
    return _turn_json(turn, access, now)


def _turn_json(turn: Turn, access: Access, now: datetime) -> dict[str, Any]:
    progress = assignments.progress(access=access, now=now)

    def shown(assignment: Assignment | None) -> dict[str, Any] | None:
        return None if assignment is None else task_json(assignment=assignment, progress=progress)

    is_nothing = turn.next is None and turn.confirmed is None
    return {
        "next": shown(turn.next),
        "why_nothing": nothing_left.why(access=access, now=now) if is_nothing else "",
        "confirmed": turn.confirmed,
        "prefetched": shown(turn.prefetched),
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
    given = {name: value for name, value in request.data.items() if name not in ENVELOPE}
    for name in given.keys() - CHECKS.keys():
        raise BadAnswer(shown_name(name), "no answer has such a part")
    return submissions.Answer(**given, **envelope.validated_data), holds


def _valid(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)
