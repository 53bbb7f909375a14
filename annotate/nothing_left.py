"""Why somebody is given nothing while tasks are open: said to them, instead of that all tasks are taken."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from annotate import offers, pool, qualifications
from annotate.models import Protocol, Qualification
from rlhf.access import Access


def why(*, access: Access, now: datetime) -> str:
    """In words; "" where all that the person may have is taken or answered."""
    standing = qualifications.standing(access=access)
    with_work = {level.protocol_id for level in pool.levels(project_id=access.project.pk)}
    allowed = with_work & standing.may_work
    today = {level.protocol_id for level in offers.levels(access=access, standing=standing, now=now)}
    if allowed - today and not allowed & today:
        return _("You have reached the number of tasks that one person does here in a day. There are more tomorrow.")
    if allowed:
        return ""
    closed = with_work - standing.qualifying.keys()
    if standing.declines_warned and Protocol.objects.filter(pk__in=closed).exclude(content_warning="").exists():
        return _("The tasks that are left carry a content warning, and you chose not to be given such tasks.")
    failed = Qualification.objects.filter(labeler=access.user, protocol__in=closed, state=Qualification.State.FAILED)
    if failed.exists():
        return _("The tasks that are left need a qualification that you did not pass.")
    return ""
