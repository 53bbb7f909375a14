"""The record of learning: rows only. What may happen to them is decided in the modules named like them.

Every row reaches one Project by a non-null key. A product does not point at its producer: versions and snapshots
know no run; a run points at what it used and what it made.
"""

from rlhf.models.evaluations import Estimate, Evaluation, EvaluationSnapshot, Judge, Promotion, Verdict
from rlhf.models.products import DatasetSnapshot, ModelVersion, ReportCard
from rlhf.models.projects import MAX_TEXT, Membership, Project, ProjectToken, Prompt, Role, Scope, Split
from rlhf.models.runs import Completion, Run, RunAlarm, RunMetric, RunSample

__all__ = (
    "MAX_TEXT",
    "Completion",
    "DatasetSnapshot",
    "Estimate",
    "Evaluation",
    "EvaluationSnapshot",
    "Judge",
    "Membership",
    "ModelVersion",
    "Project",
    "ProjectToken",
    "Promotion",
    "Prompt",
    "ReportCard",
    "Role",
    "Run",
    "RunAlarm",
    "RunMetric",
    "RunSample",
    "Scope",
    "Split",
    "Verdict",
)
