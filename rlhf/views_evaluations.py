"""Two clicks from a number to the two answers behind a verdict: the list of pairs, then the pair."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from rlhf.access import READERS, access
from rlhf.evaluations import latest_estimates, visible_verdicts
from rlhf.models import Evaluation, Prompt, Split, Verdict

PAGE = 50
OUTCOMES = {"won": Q(score__gt=0.5), "tied": Q(score=0.5), "lost": Q(score__lt=0.5)}


def evaluation(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    row = get_object_or_404(Evaluation.objects.select_related("candidate", "baseline"), project=here.project, pk=pk)
    filters = _filters(request)
    verdicts = _filtered(visible_verdicts().filter(evaluation=row), filters)
    page = list(
        _after(verdicts, request.GET.get("after", "")).select_related("prompt", "judge").order_by("id")[: PAGE + 1]
    )
    estimates = latest_estimates(evaluation=row)
    context = {
        "here": here,
        "project": here.project,
        "evaluation": row,
        "estimates": estimates,
        "judges": list({estimate.judge_id: estimate.judge for estimate in estimates}.values()) or _judges(row),
        "filters": filters,
        "outcomes": list(OUTCOMES),
        "splits": Split.choices,
        "verdicts": page[:PAGE],
        "num_verdicts": verdicts.count(),
        "num_prompts": verdicts.values("prompt").distinct().count(),
        "next": page[PAGE - 1].pk if len(page) > PAGE else None,
    }
    return render(request, "rlhf/evaluation.html", context)


def pair(request: HttpRequest, project: str, pk: int, prompt: int) -> HttpResponse:
    """Both answers side by side, and everybody's verdict on them."""
    here = access(request=request, project=project, roles=READERS)
    row = get_object_or_404(Evaluation.objects.select_related("candidate", "baseline"), project=here.project, pk=pk)
    question = get_object_or_404(Prompt, project=here.project, pk=prompt)
    verdicts = list(
        visible_verdicts()
        .filter(evaluation=row, prompt=question)
        .select_related("judge", "candidate_completion", "baseline_completion")
        .order_by("judge__kind", "id")
    )
    if not verdicts:
        raise Http404("expected a pair with a verdict")
    context = {
        "here": here,
        "project": here.project,
        "evaluation": row,
        "prompt": question,
        "verdicts": verdicts,
        "candidate": verdicts[0].candidate_completion,
        "baseline": verdicts[0].baseline_completion,
        **_neighbours(row, question, _filters(request)),
    }
    return render(request, "rlhf/pair.html", context)


def _filters(request: HttpRequest) -> dict[str, str]:
    """The filters of the query that mean something; the rest is dropped."""
    judge, outcome, split = (request.GET.get(name, "") for name in ("judge", "outcome", "split"))
    filters = {
        "judge": judge if judge.isascii() and judge.isdigit() and len(judge) < 16 else "",
        "outcome": outcome if outcome in OUTCOMES else "",
        "split": split if split in Split.values else "",
    }
    return {name: value for name, value in filters.items() if value}


def _filtered(verdicts: QuerySet[Verdict], filters: dict[str, str]) -> QuerySet[Verdict]:
    if "judge" in filters:
        verdicts = verdicts.filter(judge=int(filters["judge"]))
    if "outcome" in filters:
        verdicts = verdicts.filter(OUTCOMES[filters["outcome"]])
    if "split" in filters:
        verdicts = verdicts.filter(prompt__split=filters["split"])
    return verdicts


def _after(verdicts: QuerySet[Verdict], after: str) -> QuerySet[Verdict]:
    return verdicts.filter(pk__gt=int(after)) if after.isascii() and after.isdigit() and len(after) < 16 else verdicts


def _judges(row: Evaluation) -> list[object]:
    return list(
        {
            verdict.judge_id: verdict.judge
            for verdict in visible_verdicts().filter(evaluation=row).select_related("judge")[:1_000]
        }.values()
    )


def _neighbours(row: Evaluation, question: Prompt, filters: dict[str, str]) -> dict[str, object]:
    prompts = _filtered(visible_verdicts().filter(evaluation=row), filters).values_list("prompt_id", flat=True)
    return {
        "filters": filters,
        "previous_prompt": prompts.filter(prompt_id__lt=question.pk).order_by("-prompt_id").first(),
        "next_prompt": prompts.filter(prompt_id__gt=question.pk).order_by("prompt_id").first(),
    }
