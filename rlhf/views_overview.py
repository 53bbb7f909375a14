"""The overview of a frozen evaluation, for ever at the address of its hash: page, document, a CSV per figure."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import conditional_page

from rlhf import evaluation_snapshots
from rlhf.access import READERS, Access, access
from rlhf.figures import csv_response
from rlhf.models import EvaluationSnapshot, Prompt
from rlhf.overview.document import Document, read
from rlhf.overview.judging import judging
from rlhf.overview.links import Links
from rlhf.overview.page import FIGURES, Choice, choose, overview

PROMPTS_WITH_TEXT = 40  # of the regressions; the others are shown by their number
FOR_EVER = "private, max-age=31536000, immutable"


def snapshot(request: HttpRequest, project: str, sha256: str) -> HttpResponse:
    """The permalink: what the overview said on the verdicts of that moment. `newest` leads to the newest one's."""
    here = access(request=request, project=project, roles=READERS)
    row = evaluation_snapshots.named(project=here.project, sha256=sha256)
    if row.sha256 != sha256:
        return redirect("evaluation-snapshot", project=project, sha256=row.sha256)
    context = {"here": here, "project": here.project, **of_snapshot(request, here, row), "is_frozen": True}
    return render(request, "rlhf/overview.html", context)


def snapshot_json(request: HttpRequest, project: str, sha256: str) -> HttpResponse:
    """The document, byte for byte as the estimate run wrote it."""
    here = access(request=request, project=project, roles=READERS)
    row = evaluation_snapshots.named(project=here.project, sha256=sha256)
    if row.sha256 != sha256:
        return redirect("evaluation-snapshot-json", project=project, sha256=row.sha256)
    headers = {"ETag": f'"{sha256}"', "Cache-Control": FOR_EVER}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(evaluation_snapshots.text(snapshot=row), content_type="application/json", headers=headers)


def snapshot_csv(request: HttpRequest, project: str, sha256: str, figure: str) -> HttpResponseBase:
    """The table of one figure; `judge` and `evaluation` choose as they do on the page."""
    here = access(request=request, project=project, roles=READERS)
    row = evaluation_snapshots.named(project=here.project, sha256=sha256)
    chosen = _choice(request, here, row)
    if figure not in FIGURES or chosen is None:
        raise Http404(f"expected one of {', '.join(FIGURES)}, found {figure}")
    return csv_response(figure=FIGURES[figure](chosen), filename=f"{project}-{row.sha256[:12]}-{figure}.csv")


@conditional_page
def judging_now(request: HttpRequest, project: str) -> HttpResponse:
    """What is judged at this moment, and whether newer numbers are there than the page shows: polled, mostly 304."""
    here = access(request=request, project=project, roles=READERS)
    shown, there = request.GET.get("sha256", ""), evaluation_snapshots.newest(project=here.project)
    context = {
        "project": here.project,
        "is_newer": there is not None and there.sha256 != shown,
        **live(here),
    }
    return render(request, "rlhf/parts/judging.html", context)


def live(here: Access) -> dict[str, object]:
    rows = judging(project=here.project)
    return {"judging": rows, "bands": [row.row for row in rows if row.numbers]}


def of_snapshot(request: HttpRequest, here: Access, row: EvaluationSnapshot | None) -> dict[str, object]:
    """What the overview's template needs of a frozen evaluation; `overview` is None while there is nothing to show."""
    chosen = _choice(request, here, row, with_texts=True) if row else None
    return {"snapshot": row, "overview": overview(chosen) if chosen else None}


def _choice(request: HttpRequest, here: Access, row: EvaluationSnapshot, *, with_texts: bool = False) -> Choice | None:
    document = read(snapshot=row)
    return choose(
        document=document,
        links=Links(project=here.project.slug, sha256=row.sha256),
        judge=request.GET.get("judge", ""),
        evaluation=request.GET.get("evaluation", ""),
        prompt_texts=_texts(here, document) if with_texts else {},
    )


def _texts(here: Access, document: Document) -> dict[int, str]:
    wanted = [row["prompt"] for row in document.pieces("regressions")[:PROMPTS_WITH_TEXT]]
    return {prompt.pk: str(prompt) for prompt in Prompt.objects.filter(project=here.project, pk__in=wanted)}
