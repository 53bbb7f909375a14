"""The people's side: protocols, tasks, assignments and answers."""

from annotate.models.answers import Demonstration, Ranking, Submission
from annotate.models.people import Labeler, LabelerProfile, Sequence
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
    "Sequence",
    "Submission",
    "Task",
    "TaskAuthor",
    "TaskCompletion",
)
