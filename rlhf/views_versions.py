"""Versions: what there is, where each one comes from, and its weights."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from rlhf import model_cards, report_cards, tries
from rlhf.access import READERS, access
from rlhf.models import ModelVersion, ReportCard


def version_page(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    version = get_object_or_404(
        ModelVersion.objects.select_related("project", "promotion", "report_card"), project=here.project, pk=pk
    )
    context = {
        "here": here,
        "project": here.project,
        "version": version,
        "card": model_cards.card(version=version),
        "children": version.children.order_by("id"),
        "can_talk": version.kind in tries.POLICIES,
    }
    return render(request, "rlhf/version.html", context)


def model_card(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    """README.md of the version."""
    here = access(request=request, project=project, roles=READERS)
    version = get_object_or_404(ModelVersion.objects.select_related("project"), project=here.project, pk=pk)
    text = model_cards.markdown(card=model_cards.card(version=version), project=here.project)
    headers = {"Content-Disposition": 'attachment; filename="README.md"'}
    return HttpResponse(text, content_type="text/markdown; charset=utf-8", headers=headers)


def report_card(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    """What a reward model can do and what it leans on; 404 for a version without a card."""
    here = access(request=request, project=project, roles=READERS)
    card = get_object_or_404(ReportCard.objects.select_related("version"), project=here.project, version=pk)
    slices = report_cards.slices(card=card)
    context = {
        "here": here,
        "project": here.project,
        "version": card.version,
        "content": card.content,
        "slices": slices,
        "shortcuts": report_cards.shortcuts(card=card),
        "scaling": report_cards.scaling_points(card=card),
        "chart": report_cards.charted(card=card, found=slices),
    }
    return render(request, "rlhf/report_card.html", context)
