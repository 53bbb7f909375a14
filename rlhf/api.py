"""The REST door of the record of learning: every row is reached through its project and a membership in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from rlhf import downloads, evaluation_snapshots, evaluations, metrics, prompts, requests, runs
from rlhf import serializers as shapes
from rlhf.access import MANAGERS, READERS, Access, access
from rlhf.errors import Refusal
from rlhf.models import (
    DatasetSnapshot,
    Evaluation,
    EvaluationSnapshot,
    ModelVersion,
    Prompt,
    ReportCard,
    Role,
    Run,
    Scope,
    Verdict,
)

MAX_BODY = 20 * 1024 * 1024
BYTES = {200: OpenApiTypes.BINARY, 206: OpenApiTypes.BINARY, 304: None, 410: None, 416: None}


class BodyTooLarge(Refusal):
    status = 413


class BadParameter(Refusal):
    """A parameter of the query that is no number, or out of its range."""


class InProject(GenericAPIView[Any]):
    """Rows of one project, for its researchers and managers."""

    roles: frozenset[Role] = READERS

    def here(self, *, roles: frozenset[Role] = READERS, scope: Scope = Scope.READ) -> Access:
        return access(request=self.request, project=self.kwargs["project"], roles=roles, scope=scope)

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset().none()
        return super().get_queryset().filter(project=self.here().project)


class PromptList(InProject, ListAPIView[Prompt]):
    queryset = Prompt.objects.all()
    serializer_class = shapes.PromptSerializer
    filterset_fields = ("split", "category", "source")

    @extend_schema(request=shapes.NewPromptSerializer(many=True), responses={201: shapes.AddedSerializer})
    def post(self, request: Request, project: str) -> Response:
        """Add prompts in bulk. Good rows land, bad rows are named; one that is there already counts as a duplicate."""
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        good, bad_rows = _checked_prompts(_rows(request))
        if not good:
            raise prompts.BadPrompt("expected at least one good prompt, found none", bad_rows=bad_rows)
        added = prompts.add(project=here.project, prompts=good, source="api", author=here.user)
        answer = {"num_added": added.num_added, "num_duplicates": added.num_duplicates, "bad_rows": bad_rows}
        return Response(answer, status=201)


class SnapshotList(InProject, ListAPIView[DatasetSnapshot]):
    queryset = DatasetSnapshot.objects.all()
    serializer_class = shapes.SnapshotSerializer
    filterset_fields = ("configuration", "iteration")

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "project": self.here().project}


class SnapshotDetail(InProject, RetrieveAPIView[DatasetSnapshot]):
    queryset = DatasetSnapshot.objects.all()
    serializer_class = shapes.SnapshotSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "project": self.here().project}


class SnapshotParquet(InProject):
    queryset = DatasetSnapshot.objects.all()

    @extend_schema(responses=BYTES)
    def get(self, request: Request, project: str, pk: int) -> HttpResponseBase:
        """The very bytes that a run read. One byte range, If-None-Match and HEAD are answered."""
        snapshot = get_object_or_404(self.get_queryset(), pk=pk)
        return downloads.file_response(
            request=request._request,
            name=snapshot.parquet,
            sha256=snapshot.sha256,
            filename=f"{project}-{snapshot.configuration}-{snapshot.sha256[:12]}.parquet",
            content_type="application/vnd.apache.parquet",
        )


class SnapshotJsonl(InProject):
    queryset = DatasetSnapshot.objects.all()

    @extend_schema(responses=BYTES)
    def get(self, request: Request, project: str, pk: int) -> HttpResponseBase:
        """The same rows, a JSON object per line."""
        snapshot = get_object_or_404(self.get_queryset(), pk=pk)
        return downloads.file_response(
            request=request._request,
            name=snapshot.jsonl,
            sha256=snapshot.jsonl_sha256,
            filename=f"{project}-{snapshot.configuration}-{snapshot.sha256[:12]}.jsonl",
            content_type="application/jsonl",
        )


class RunList(InProject, ListAPIView[Run]):
    queryset = Run.objects.defer("log", "selection", "configuration", "result")
    serializer_class = shapes.RunSerializer
    filterset_fields = ("kind", "state", "purpose", "iteration")


class RunDetail(InProject, RetrieveAPIView[Run]):
    queryset = Run.objects.all()
    serializer_class = shapes.RunDetailSerializer


class RunMetrics(InProject):
    queryset = Run.objects.all()

    @extend_schema(
        parameters=[OpenApiParameter("max_points", int, description="2 to 10,000; 500 unless told")],
        responses=shapes.MetricsSerializer,
    )
    def get(self, request: Request, project: str, pk: int) -> Response:
        """The logged steps of the latest attempt, evenly thinned."""
        run = get_object_or_404(self.get_queryset(), pk=pk)
        text = request.query_params.get("max_points", str(metrics.MAX_POINTS))
        max_points = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
        if not 2 <= max_points <= 10_000:
            raise BadParameter(f"max_points: expected a whole number from 2 to 10,000, found {text[:20]!r}")
        return Response({"attempt": run.attempt, "points": metrics.points(run=run, max_points=max_points)})


class RunCancel(InProject):
    queryset = Run.objects.all()

    @extend_schema(request=None, responses=shapes.RunDetailSerializer)
    def post(self, request: Request, project: str, pk: int) -> Response:
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        run = get_object_or_404(Run, project=here.project, pk=pk)
        return Response(shapes.RunDetailSerializer(runs.request_cancel(run=run, now=timezone.now())).data)


class RunRetry(InProject):
    queryset = Run.objects.all()

    @extend_schema(request=None, responses=shapes.RunDetailSerializer)
    def post(self, request: Request, project: str, pk: int) -> Response:
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        run = get_object_or_404(Run, project=here.project, pk=pk)
        return Response(shapes.RunDetailSerializer(runs.retry(run=run)).data)


class VersionList(InProject, ListAPIView[ModelVersion]):
    queryset = ModelVersion.objects.all()
    serializer_class = shapes.VersionSerializer
    filterset_fields = ("kind", "iteration", "is_current")

    @extend_schema(request=shapes.NewRivalSerializer, responses={201: shapes.VersionSerializer})
    def post(self, request: Request, project: str) -> Response:
        """Register a rival: a model behind an OpenAI-compatible endpoint, or a file of answers to be sent next."""
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        version = requests.register_rival(project=here.project, body=request.data, now=timezone.now())
        return Response(shapes.VersionSerializer(version).data, status=201)


class VersionDetail(InProject, RetrieveAPIView[ModelVersion]):
    queryset = ModelVersion.objects.all()
    serializer_class = shapes.VersionSerializer


class VersionReport(InProject):
    queryset = ReportCard.objects.all()

    @extend_schema(responses=shapes.ReportCardSerializer)
    def get(self, request: Request, project: str, pk: int) -> Response:
        """The report card of a reward model: docs/learning.md says what is in it."""
        return Response(shapes.ReportCardSerializer(get_object_or_404(self.get_queryset(), version=pk)).data)


class WithEstimates(InProject):
    queryset = Evaluation.objects.all()
    serializer_class = shapes.EvaluationSerializer

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        rows = args[0] if kwargs.get("many") else args[:1]
        estimates = evaluations.estimates_by_evaluation(evaluations=rows)
        return shapes.EvaluationSerializer(*args, context={"estimates": estimates}, **kwargs)


class EvaluationList(WithEstimates, ListAPIView[Evaluation]):
    filterset_fields = ("candidate", "baseline", "iteration")

    @extend_schema(request=shapes.NewEvaluationSerializer, responses={201: shapes.EvaluationSerializer})
    def post(self, request: Request, project: str) -> Response:
        """Compare two versions: what either has not answered is sampled, then every judge of the project is asked."""
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        evaluation = requests.from_body(project=here.project, body=request.data, now=timezone.now())
        return Response(self.get_serializer(evaluation).data, status=201)


class EvaluationDetail(WithEstimates, RetrieveAPIView[Evaluation]):
    pass


class VerdictList(InProject, ListAPIView[Verdict]):
    queryset = evaluations.visible_verdicts()
    serializer_class = shapes.VerdictSerializer
    filterset_fields = ("judge", "prompt", "prompt__split", "score")

    def get_queryset(self) -> QuerySet[Verdict]:
        return super().get_queryset().filter(evaluation=self.kwargs.get("pk"))


class EvaluationSnapshotList(InProject, ListAPIView[EvaluationSnapshot]):
    queryset = EvaluationSnapshot.objects.none()
    serializer_class = shapes.EvaluationSnapshotSerializer

    def get_queryset(self) -> QuerySet[EvaluationSnapshot]:
        if getattr(self, "swagger_fake_view", False):
            return EvaluationSnapshot.objects.none()
        return evaluation_snapshots.visible(project=self.here().project)


class EvaluationSnapshotDetail(InProject):
    queryset = EvaluationSnapshot.objects.none()

    @extend_schema(responses=shapes.EvaluationSnapshotSerializer)
    def get(self, request: Request, project: str, sha256: str) -> Response:
        """One frozen evaluation, by its hash or the first 12 characters of it, or `newest`."""
        found = evaluation_snapshots.named(project=self.here().project, sha256=sha256)
        return Response(shapes.EvaluationSnapshotSerializer(found).data)


class EvaluationSnapshotDocument(InProject):
    queryset = EvaluationSnapshot.objects.none()

    @extend_schema(responses={200: OpenApiTypes.OBJECT, 304: None})
    def get(self, request: Request, project: str, sha256: str) -> HttpResponseBase:
        """The very bytes of document.json: docs/evaluation.md says what is in it. Its hash is its ETag."""
        found = evaluation_snapshots.named(project=self.here().project, sha256=sha256)
        return downloads.immutable_response(
            request=request._request,
            sha256=found.sha256,
            content_type="application/json",
            content=partial(evaluation_snapshots.text, snapshot=found),
            is_permanent=sha256 == found.sha256,
        )


def _rows(request: Request) -> list[object]:
    length = request.headers.get("Content-Length", "0")
    if int(length or 0) > MAX_BODY:
        raise BodyTooLarge(f"expected at most 20 MB, found {int(length) / 1024**2:.1f} MB")
    if not isinstance(request.data, list):
        raise prompts.BadPrompt(f"expected a JSON list of prompts, found {type(request.data).__name__}")
    return request.data


def _checked_prompts(rows: list[object]) -> tuple[list[prompts.NewPrompt], list[dict[str, object]]]:
    good: list[prompts.NewPrompt] = []
    bad_rows: list[dict[str, object]] = []
    for index, row in enumerate(rows, 1):
        try:
            good.append(prompts.from_row(row=row))
        except prompts.BadPrompt as error:
            bad_rows.append({"row": index, "message": error.message})
    return good, bad_rows
