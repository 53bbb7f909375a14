"""What reward models make of the versions, and what their rewards cost: distributions, best-of-N, the KL frontier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from rlhf import evaluation_snapshots, reward_figures
from rlhf.access import READERS, Access, access
from rlhf.figures import Figure, csv_response
from rlhf.models import EvaluationSnapshot
from rlhf.overview import trust
from rlhf.overview.document import Document, Piece, read
from rlhf.overview.links import Links


@dataclass(frozen=True)
class Chosen:
    """The newest frozen evaluation, and the reward model that the query asks for or the newest."""

    snapshot: EvaluationSnapshot | None
    document: Document | None
    judges: list[Piece]
    judge: Piece | None


def rewards(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    chosen = _choose(request, here)
    document, snapshot = chosen.document, chosen.snapshot
    alarms = []
    if document is not None and snapshot is not None:
        alarms = trust.alarms(document, Links(project=here.project.slug, sha256=snapshot.sha256))
    context = {
        "here": here,
        "project": here.project,
        "chosen": chosen,
        "alarms": alarms,
        "figures": {name.replace("-", "_"): build() for name, build in _figures(here, chosen).items()},
    }
    return render(request, "rlhf/rewards.html", context)


def rewards_csv(request: HttpRequest, project: str, figure: str) -> HttpResponseBase:
    """The table of one figure."""
    here = access(request=request, project=project, roles=READERS)
    figures = _figures(here, _choose(request, here))
    if figure not in figures:
        raise Http404(f"expected one of {', '.join(figures)}, found {figure}")
    return csv_response(figure=figures[figure](), filename=f"{project}-rewards-{figure}.csv")


def _choose(request: HttpRequest, here: Access) -> Chosen:
    snapshot = evaluation_snapshots.newest(project=here.project)
    document = read(snapshot=snapshot) if snapshot else None
    judges = reward_figures.judges(document=document) if document else []
    asked = request.GET.get("judge", "")
    judge = next((one for one in judges if str(one["id"]) == asked), judges[-1] if judges else None)
    return Chosen(snapshot, document, judges, judge)


def _figures(here: Access, chosen: Chosen) -> dict[str, Callable[[], Figure]]:
    """Those that there is something for, by the name in their address."""
    project = here.project

    def url(figure: str) -> str:
        address = reverse("rewards-csv", kwargs={"project": project.slug, "figure": figure})
        return f"{address}?judge={chosen.judge['id']}" if chosen.judge else address

    found: dict[str, Callable[[], Figure]] = {
        "best-of-n": partial(reward_figures.best_of_n, project=project, csv_url=url("best-of-n")),
        "frontier": partial(reward_figures.frontier, project=project, csv_url=url("frontier")),
    }
    if chosen.document is not None and chosen.judge is not None:
        document, judge = chosen.document, chosen.judge
        for name, build in (("distribution", reward_figures.distribution), ("shift", reward_figures.shift)):
            found[name] = partial(build, project=project, document=document, judge=judge, csv_url=url(name))
        found["by-model"] = partial(
            reward_figures.by_model, project=project, document=document, csv_url=url("by-model")
        )
    return found
