"""What the header of every page shows: the projects of the person, and the sections that the role here may open."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils.functional import SimpleLazyObject

from rlhf.access import EVERYONE, LABELERS, MANAGERS, READERS
from rlhf.models import Membership, Role

# Heading, path under /p/<project>/, who may open it, and further paths that belong to the section.
SECTIONS: tuple[tuple[str, str, frozenset[Role], tuple[str, ...]], ...] = (
    ("Dashboard", "", READERS, ("evaluations/",)),
    ("Label", "label/", LABELERS, ()),
    ("Prompts", "prompts/", MANAGERS, ()),
    ("Runs", "runs/", READERS, ()),
    ("Versions", "versions/", READERS, ()),
    ("Datasets", "datasets/", READERS, ()),
    ("Try it", "try/", EVERYONE - {Role.LABELER}, ()),
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
    slug = request.resolver_match.kwargs.get("project") if request.resolver_match else None
    here = next((membership for membership in memberships if membership.project.slug == slug), None)
    return Navigation(memberships, here, _links(here, request.path) if here else [])


def _links(here: Membership, path: str) -> list[Link]:
    root = f"{get_script_prefix()}p/{here.project.slug}/"
    role = Role(here.role)
    return [
        Link(label, root + section, _is_current(path, root, section, further))
        for label, section, roles, further in SECTIONS
        if role in roles
    ]


def _is_current(path: str, root: str, section: str, further: tuple[str, ...]) -> bool:
    if section == "" and path == root:
        return True
    return any(path.startswith(root + prefix) for prefix in (section, *further) if prefix)
