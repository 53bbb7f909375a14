"""The REST door of comparisons with others: rivals, their answers, verdicts made elsewhere, evaluations on demand."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rlhf import answer_imports, parsers, requests, verdict_imports
from rlhf import serializers as shapes
from rlhf.access import MANAGERS
from rlhf.api import InProject
from rlhf.models import ModelVersion, Scope, Split
from rlhf.row_files import BadRows

ROWS = (parsers.JSONRows, parsers.JSONLines, parsers.NewlineDelimited)
SPLIT = OpenApiParameter("split", enum=["train", "held_out"], description="of prompts that are new; else by their hash")


class AnswersImport(InProject):
    queryset = ModelVersion.objects.all()
    parser_classes = ROWS

    @extend_schema(
        parameters=[
            OpenApiParameter("name", required=True, description="of the version"),
            SPLIT,
            OpenApiParameter("evaluate", bool, description="false: don't compare it with the current version"),
        ],
        request=shapes.NewAnswerSerializer(many=True),
        responses={201: shapes.ImportedAnswersSerializer},
    )
    def post(self, request: Request, project: str) -> Response:
        """A file of answers as a version: JSON list or JSONL, at most 20 MB, all rows or none, the same ones once."""
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        found = answer_imports.import_answers(
            project=here.project,
            name=request.query_params.get("name", ""),
            rows=_rows(request),
            split=_split(request),
            now=timezone.now(),
        )
        if _flag(request, "evaluate", default=True):
            requests.against_current(version=found.version, now=timezone.now())
        answer = {
            "version": found.version.pk,
            "num_added": found.num_added,
            "num_duplicates": found.num_duplicates,
            "num_prompts_added": found.num_prompts_added,
        }
        return Response(answer, status=201)


class VerdictsImport(InProject):
    queryset = ModelVersion.objects.all()
    parser_classes = ROWS

    @extend_schema(
        parameters=[
            OpenApiParameter("judge", description="of rows that name none, as AlpacaEval's"),
            SPLIT,
            OpenApiParameter("skip_missing", bool, description="leave out rows without a score"),
        ],
        request=shapes.NewVerdictSerializer(many=True),
        responses={201: shapes.ImportedVerdictsSerializer},
    )
    def post(self, request: Request, project: str) -> Response:
        """Verdicts made elsewhere: JSON list or JSONL, at most 20 MB, all rows or none, the same ones once."""
        here = self.here(roles=MANAGERS, scope=Scope.WRITE)
        found = verdict_imports.import_verdicts(
            project=here.project,
            rows=_rows(request),
            judge=request.query_params.get("judge", ""),
            split=_split(request),
            skip_missing=_flag(request, "skip_missing"),
            now=timezone.now(),
        )
        answer = {"run": found.run.pk, "is_new": found.is_new, "num_skipped": found.num_skipped, **found.run.result}
        return Response(answer, status=201)


def _rows(request: Request) -> list[tuple[int, object]]:
    rows: list[tuple[int, object]] = request.data if isinstance(request.data, list) else []
    return rows


def _split(request: Request) -> str | None:
    given = request.query_params.get("split") or None
    if given not in (None, *Split.values):
        raise BadRows(f"split: expected train or held_out, found {str(given)[:40]!r}", bad_rows=[])
    return given


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    given = request.query_params.get(name, "").lower()
    if given not in ("", "0", "1", "true", "false"):
        raise BadRows(f"{name}: expected true or false, found {given[:40]!r}", bad_rows=[])
    return given in ("1", "true") if given else default
