"""Talk to a version: a typed prompt becomes a sample run of one version or two, and the page waits for the answers."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import conditional_page

from rlhf import runs, tries
from rlhf.access import READERS, Access, access
from rlhf.errors import Refusal
from rlhf.forms import TryForm
from rlhf.word_diff import MAX_WORDS


def try_form(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    form = _form(here, request.POST or None, _asked_for(request, here))
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            key = tries.ask(
                project=here.project,
                author=here.user,
                text=asked["prompt"],
                versions=[version for version in (asked["version"], asked["beside"]) if version],
                temperature=asked["temperature"],
                num_samples=asked["num_samples"],
                now=timezone.now(),
            )
            return redirect("try-answer", project=project, key=key)
        except Refusal as error:
            form.add_error(None, error.message)
    return render(request, "rlhf/try.html", {**_page(here), "form": form})


def try_answer(request: HttpRequest, project: str, key: str) -> HttpResponse:
    """The answers, and the same question ready to be changed and asked again."""
    here = access(request=request, project=project, roles=READERS)
    context = _answers(request, here, key)
    context["form"] = _form(here, None, _again(context["answers"]))
    del context["form"].fields["prompt"].widget.attrs["autofocus"]  # here people read first
    return render(request, "rlhf/try_answer.html", {**_page(here), **context})


@conditional_page
def try_live(request: HttpRequest, project: str, key: str) -> HttpResponse:
    """The answers so far. Says 286 once every run has ended, which makes htmx stop asking."""
    here = access(request=request, project=project, roles=READERS)
    context = _answers(request, here, key)
    answer = render(request, "rlhf/parts/try_answers.html", context)
    answer.status_code = 286 if context["ended"] else 200
    return answer


def _form(here: Access, data: Any, initial: dict[str, Any]) -> TryForm:
    versions = tries.versions(project=here.project)
    defaults = {"version": versions.first(), "temperature": tries.temperature(project=here.project), "num_samples": 1}
    return TryForm(data, versions=versions, initial={**defaults, **initial})


def _page(here: Access) -> dict[str, Any]:
    return {
        "here": here,
        "project": here.project,
        "has_versions": tries.versions(project=here.project).exists(),
        "earlier": tries.earlier(project=here.project, author=here.user),
    }


def _asked_for(request: HttpRequest, here: Access) -> dict[str, Any]:
    """The version that a link of another page names."""
    wanted = request.GET.get("version", "")
    version = tries.versions(project=here.project).filter(pk=wanted).first() if wanted.isdecimal() else None
    return {"version": version} if version else {}


def _again(answers: list[tries.Answer]) -> dict[str, Any]:
    first, *others = answers
    sampling = first.run.configuration["sampling"]
    messages = first.prompt.messages
    return {
        "prompt": messages[0]["content"] if len(messages) == 1 else "",
        "version": first.run.policy,
        "beside": others[0].run.policy if others else None,
        "temperature": sampling.get("temperature", 1.0),
        "num_samples": sampling["num_samples"],
    }


def _answers(request: HttpRequest, here: Access, key: str) -> dict[str, Any]:
    asked = tries.answers(project=here.project, key=key)
    if not asked:
        raise Http404(f"no try {key!r}")
    shows_diff = request.GET.get("diff") == "1" and len(asked) == 2
    differences = tries.differences(answers=asked) if shows_diff else []
    return {
        "project": here.project,
        "key": key,
        "answers": asked,
        "shown": [(answer, list(_texts(answer, differences, side))) for side, answer in enumerate(asked)],
        "prompt": asked[0].prompt,
        "sampling": asked[0].run.configuration["sampling"],
        "shows_diff": shows_diff,
        "max_words": MAX_WORDS,
        "ended": all(one.run.state in runs.ENDED for one in asked),
    }


def _texts(answer: tries.Answer, differences: list[Any], side: int) -> Any:
    """Each completion with its pieces, where the other version's differ."""
    for completion, pieces in zip_longest(answer.completions, differences[: len(answer.completions)]):
        yield completion, pieces[side] if pieces else None
