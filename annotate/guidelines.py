"""Who has read which guidelines. Changed guidelines are to be read once by everybody who knows the old ones."""

from __future__ import annotations

from datetime import datetime

from annotate.models import GuidelineReading, Protocol, Submission
from rlhf.access import Access
from rlhf.errors import Refusal

RECENT = 50  # answers of a person that are looked at for older guidelines


class NoSuchGuidelines(Refusal):
    status = 404


def must_read(*, protocol: Protocol, revision: int, labeler_id: int) -> bool:
    """Whether the person is to confirm this revision first: never yet confirmed, and the protocol asks everybody to,
    or the person confirmed an older revision or answered under one."""
    if revision == 1 and not protocol.confirm_guidelines:
        return False
    readings = GuidelineReading.objects.filter(protocol=protocol, labeler=labeler_id)
    confirmed = set(readings.values_list("guideline_revision", flat=True))
    if confirmed and max(confirmed) >= revision:
        return False
    return bool(confirmed) or protocol.confirm_guidelines or _answered_under_older(protocol, revision, labeler_id)


def confirm(*, access: Access, protocol_id: int, revision: int, now: datetime) -> None:
    """The person has read this revision. Twice is once. Raises NoSuchGuidelines."""
    found = Protocol.objects.filter(pk=protocol_id, project=access.project, guideline_revision__gte=revision).first()
    if found is None:
        raise NoSuchGuidelines(f"no guidelines of revision {revision} for protocol {protocol_id} here")
    GuidelineReading.objects.get_or_create(
        protocol=found, labeler=access.user, guideline_revision=revision, defaults={"read_at": now}
    )


def _answered_under_older(protocol: Protocol, revision: int, labeler_id: int) -> bool:
    recent = Submission.objects.filter(project=protocol.project_id, labeler=labeler_id).order_by("-created_at")
    found = recent.values_list("assignment__task__protocol_id", "guideline_revision")[:RECENT]
    return any(answered == protocol.pk and seen < revision for answered, seen in found)
