"""Who may do what: every queryset of a view or a route is taken through a membership.

Somebody else's project answers 404, as a missing one does; the wrong role in one's own project answers 403.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from rlhf.models import Membership, Project, ProjectToken, Role, Scope
from rlhf.statements import Joined

MINE = Joined(
    {"mine": Membership, "project": Project},
    """
    FROM rlhf_membership mine JOIN rlhf_project project ON project.id = mine.project_id
    WHERE project.slug = %(slug)s AND mine.user_id = %(user)s
    """,
)
READERS = frozenset({Role.RESEARCHER, Role.MANAGER})
LABELERS = frozenset({Role.LABELER, Role.MANAGER})
MANAGERS = frozenset({Role.MANAGER})
EVERYONE = frozenset(Role)


@dataclass(frozen=True)
class Access:
    """A person in a project. `role` decides, and so does the token's scope where a token was shown."""

    user: User
    project: Project
    role: Role
    pseudonym: str


def access(*, request: HttpRequest, project: str, roles: frozenset[Role], scope: Scope = Scope.READ) -> Access:
    """The membership behind a request for the project of slug `project`.

    Raises Http404 without a membership, PermissionDenied for a role outside `roles` or a token of another
    project or scope.
    """
    mine = MINE.rows(slug=project, user=request.user.pk) if request.user.pk else []
    if not mine:
        raise Http404(f"no project {project!r} for you")
    ((membership, found),) = mine
    role = Role(membership.role)
    if role not in roles:
        raise PermissionDenied(f"expected the role {' or '.join(sorted(roles))} in {project}, found {role}")
    _check_token(getattr(request, "auth", None), found, scope)
    return Access(cast(User, request.user), found, role, membership.pseudonym)


def _check_token(token: object, project: Project, scope: Scope) -> None:
    if not isinstance(token, ProjectToken):
        return
    if token.project_id != project.pk:
        raise PermissionDenied("expected a token of this project, found one of another")
    covered = {scope} | ({Scope.WRITE} if scope == Scope.READ else set())
    if token.scope not in covered:
        raise PermissionDenied(f"expected a token of scope {scope}, found {token.scope}")
