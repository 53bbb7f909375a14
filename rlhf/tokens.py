"""REST tokens: for one project and one scope, hashed in the database, expiring; the plain text is shown once."""

from __future__ import annotations

from django.db.models import QuerySet

from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import ProjectToken, Role, Scope

SCOPES: dict[Role, tuple[Scope, ...]] = {
    Role.LABELER: (Scope.LABEL,),
    Role.RESEARCHER: (Scope.READ,),
    Role.MANAGER: (Scope.READ, Scope.WRITE, Scope.LABEL),
}
MAX_TOKENS = 20  # of one person in one project


class TokenRefused(Refusal):
    pass


def create(*, access: Access, scope: str, name: str) -> tuple[ProjectToken, str]:
    """A new token and its plain text, which is stored nowhere. Raises TokenRefused."""
    allowed = SCOPES[access.role]
    if scope not in allowed:
        raise TokenRefused(f"scope: expected {' or '.join(allowed)} for a {access.role}, found {scope!r}")
    if len(name) > 60:
        raise TokenRefused(f"name: expected at most 60 characters, found {len(name)}")
    if mine(access=access).count() >= MAX_TOKENS:
        raise TokenRefused(f"expected fewer than {MAX_TOKENS} tokens in one project: revoke one first")
    token, plain = ProjectToken.objects.create(user=access.user, project=access.project, scope=scope, name=name)
    return token, plain


def mine(*, access: Access) -> QuerySet[ProjectToken]:
    tokens: QuerySet[ProjectToken] = ProjectToken.objects.filter(user=access.user, project=access.project)
    return tokens.order_by("-created")


def revoke(*, access: Access, digest: str) -> bool:
    """False where this person has no such token here."""
    deleted, _ = mine(access=access).filter(digest=digest).delete()
    return bool(deleted)
