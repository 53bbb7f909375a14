"""What the header of every page shows: the projects of the person, and the sections that the role here may open."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext, gettext_noop

from rlhf.access import LABELERS, MANAGERS, READERS
from rlhf.models import Membership, Role

# Heading, the page that it leads to, who may open it, and further pages that belong to the section.
SECTIONS: tuple[tuple[str, str, frozenset[Role], tuple[str, ...]], ...] = (
    (gettext_noop("Dashboard"), "project", READERS, ("evaluation", "pair", "evaluation-snapshot")),
    (gettext_noop("Label"), "label", LABELERS, ()),
    (gettext_noop("My work"), "label-me", frozenset({Role.LABELER}), ()),
    (gettext_noop("Labelers"), "labelers", MANAGERS, ("labeler", "adjudication", "adjudicate")),
    (gettext_noop("Prompts"), "prompts", READERS, ()),
    (gettext_noop("Runs"), "runs", READERS, ("run",)),
    (gettext_noop("Versions"), "versions", READERS, ("version",)),
    (gettext_noop("Rewards"), "rewards", READERS, ()),
    (gettext_noop("Datasets"), "datasets", READERS, ("create-token",)),
    (gettext_noop("Try it"), "try", READERS, ("try-answer",)),
    (gettext_noop("People"), "people", MANAGERS, ()),
)


@dataclass(frozen=True)
class Link:
    label: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class Navigation:
    memberships: list[Membership]
    here: Membership | None
    links: list[Link]


def navigation(request: HttpRequest) -> dict[str, object]:
    """Context processor. Lazy: a page that shows no header, or an error page, asks the database nothing."""
    return {"navigation": SimpleLazyObject(lambda: _navigation(request))}


def _navigation(request: HttpRequest) -> Navigation:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return Navigation([], None, [])
    memberships = list(Membership.objects.filter(user_id=user.pk).select_related("project").order_by("project__name"))
    match = request.resolver_match
    slug = match.kwargs.get("project") if match else None
    here = next((membership for membership in memberships if membership.project.slug == slug), None)
    return Navigation(memberships, here, _links(here, match.url_name or "") if here and match else [])


def _links(here: Membership, page: str) -> list[Link]:
    role, slug = Role(here.role), here.project.slug
    return [
        Link(gettext(label), reverse(name, kwargs={"project": slug}), page in (name, *further))
        for label, name, roles, further in SECTIONS
        if role in roles
    ]
