"""What people choose about their work in a project."""

from __future__ import annotations

from annotate.models import LabelerProfile
from rlhf.access import Access


def choose(*, access: Access, declines_warned: bool) -> None:
    """Whether the person takes tasks with a content warning."""
    LabelerProfile.objects.update_or_create(
        project=access.project, labeler=access.user, defaults={"declines_warned": declines_warned}
    )
