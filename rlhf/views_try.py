"""Try it: a typed prompt becomes a sample run of one version or two, and the page waits for the answers."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import conditional_page

from rlhf import runs, tries
from rlhf.access import READERS, Access, access
from rlhf.errors import Refusal
from rlhf.forms import TryForm


def try_form(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    versions = tries.versions(project=here.project)
    form = TryForm(request.POST or None, versions=versions, initial={"version": versions.first()})
    if request.method == "POST" and form.is_valid():
        chosen = [version for version in (form.cleaned_data["version"], form.cleaned_data["beside"]) if version]
        try:
            key = tries.ask(
                project=here.project,
                author=here.user,
                text=form.cleaned_data["prompt"],
                versions=chosen,
                now=timezone.now(),
            )
            return redirect("try-answer", project=project, key=key)
        except Refusal as error:
            form.add_error(None, error.message)
    context = {"here": here, "project": here.project, "form": form, "has_versions": versions.exists()}
    return render(request, "rlhf/try.html", context)


def try_answer(request: HttpRequest, project: str, key: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/try_answer.html", _answers(here, key))


@conditional_page
def try_live(request: HttpRequest, project: str, key: str) -> HttpResponse:
    """The answers so far. Says 286 once every run has ended, which makes htmx stop asking."""
    here = access(request=request, project=project, roles=READERS)
    context = _answers(here, key)
    answer = render(request, "rlhf/parts/try_answers.html", context)
    answer.status_code = 286 if context["ended"] else 200
    return answer


def _answers(here: Access, key: str) -> dict[str, object]:
    asked = tries.answers(project=here.project, key=key)
    if not asked:
        raise Http404(f"no try {key!r}")
    ended = all(one.run.state in runs.ENDED for one in asked)
    return {
        "here": here,
        "project": here.project,
        "key": key,
        "answers": asked,
        "prompt": asked[0].prompt,
        "ended": ended,
    }
