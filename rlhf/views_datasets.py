"""Datasets: the frozen snapshots, how to load one in three lines, and the tokens for it. And the prompts."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from rlhf import prompts, tokens
from rlhf.access import EVERYONE, MANAGERS, READERS, Access, access
from rlhf.errors import Refusal
from rlhf.forms import PromptFileForm, TokenForm
from rlhf.models import DatasetSnapshot, Prompt

PAGE = 50


def datasets(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/datasets.html", _datasets(request, here))


@require_POST
def create_token(request: HttpRequest, project: str) -> HttpResponse:
    """The answer to the POST is the only page that ever shows the token."""
    here = access(request=request, project=project, roles=READERS)
    form = TokenForm(request.POST, scopes=tokens.SCOPES[here.role])
    plain = ""
    if form.is_valid():
        try:
            _, plain = tokens.create(access=here, scope=form.cleaned_data["scope"], name=form.cleaned_data["name"])
        except Refusal as error:
            form.add_error(None, error.message)
    answer = render(
        request, "rlhf/datasets.html", {**_datasets(request, here), "token_form": form, "plain_token": plain}
    )
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
def revoke_token(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=EVERYONE)
    if not tokens.revoke(access=here, digest=request.POST.get("digest", "")):
        raise Http404("expected one of your tokens")
    return redirect("datasets", project=project)


def prompt_list(request: HttpRequest, project: str) -> HttpResponse:
    """The prompts, and for managers the import of more. Good rows land; bad ones are named on the same page."""
    here = access(request=request, project=project, roles=MANAGERS if request.method == "POST" else READERS)
    form = PromptFileForm(request.POST or None, request.FILES or None)
    bad_rows: tuple[object, ...] = ()
    if request.method == "POST" and form.is_valid():
        parsed = form.cleaned_data["file"]
        added = prompts.add(project=here.project, prompts=parsed.prompts, source="import", author=here.user)
        messages.success(request, f"{added.num_added} prompts added, {added.num_duplicates} were there already.")
        bad_rows = parsed.bad_rows
        form = PromptFileForm()
    context = {"here": here, "project": here.project, "form": form, "bad_rows": bad_rows, **_prompts(request, here)}
    return render(request, "rlhf/prompts.html", context)


def _datasets(request: HttpRequest, here: Access) -> dict[str, object]:
    snapshots = list(DatasetSnapshot.objects.filter(project=here.project).order_by("-id")[:200])
    example = snapshots[0].pk if snapshots else 1
    address = reverse("api-snapshot-parquet", kwargs={"project": here.project.slug, "pk": example})
    return {
        "here": here,
        "project": here.project,
        "snapshots": snapshots,
        "example_url": request.build_absolute_uri(address),
        "token_form": TokenForm(scopes=tokens.SCOPES[here.role]),
        "tokens": tokens.mine(access=here),
        "splits": _splits(here),
    }


def _splits(here: Access) -> dict[str, int]:
    rows = prompts.annotated(project=here.project).values("split").annotate(num=Count("id")).order_by("split")
    return {row["split"]: row["num"] for row in rows}


def _prompts(request: HttpRequest, here: Access) -> dict[str, object]:
    after = request.GET.get("after", "")
    rows = Prompt.objects.filter(project=here.project).order_by("id")
    if after.isascii() and after.isdigit() and len(after) < 16:
        rows = rows.filter(pk__gt=int(after))
    page = list(rows[: PAGE + 1])
    return {"prompts": page[:PAGE], "next": page[PAGE - 1].pk if len(page) > PAGE else None, "splits": _splits(here)}
