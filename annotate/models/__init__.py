"""The people's side: protocols, tasks, assignments and answers."""

from annotate.models.answers import Demonstration, Ranking, Submission
from annotate.models.people import Labeler, LabelerProfile
from annotate.models.protocols import GuidelineReading, Protocol, ProtocolRevision, Qualification
from annotate.models.tasks import Assignment, Task, TaskAuthor, TaskCompletion

__all__ = (
    "Assignment",
    "Demonstration",
    "GuidelineReading",
    "Labeler",
    "LabelerProfile",
    "Protocol",
    "ProtocolRevision",
    "Qualification",
    "Ranking",
    "Submission",
    "Task",
    "TaskAuthor",
    "TaskCompletion",
)
