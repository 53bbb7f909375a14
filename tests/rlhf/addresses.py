"""The address of each page in a project whose rows are those of the fixture `judged`."""

from django.urls import reverse

from rlhf import evaluations
from rlhf.models import Project, Prompt, ReportCard, Run


def address(name: str, project: Project) -> str:
    names: dict[str, object] = {"project": project.slug}
    if name in ("run", "run-live", "run-samples", "cancel-run", "retry-run"):
        names["pk"] = Run.objects.get(kind="ppo").pk
    elif name == "report-card":
        names["pk"] = ReportCard.objects.get().version_id
    elif name in ("version", "weights", "model-card"):
        names["pk"] = evaluations.Evaluation.objects.get().candidate_id
    elif name in ("evaluation", "pairs-csv", "pair"):
        names["pk"] = evaluations.Evaluation.objects.get().pk
    if name == "rewards-csv":
        names["figure"] = "frontier"
    if name == "pair":
        names["prompt"] = Prompt.objects.order_by("id").first().pk
    return reverse(name, kwargs=names)
