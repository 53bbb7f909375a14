"""What follows from an answer: a demonstration, a prompt, a ranking and the verdict in it. Those of an earlier
revision are taken back, but stay."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from annotate.answers import KEYS, BadAnswer
from annotate.models import Demonstration, Protocol, Ranking, Submission, Task
from rlhf import evaluations, judges, prompts
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import Verdict
from rlhf.statements import Insert, rows

SHOWN = """
    SELECT completion_id, names_itself FROM annotate_taskcompletion WHERE task_id = %(task)s ORDER BY "index"
"""
RANKINGS = Insert(Ranking)
WRITTEN_HERE = "labeler"  # source of prompts that labelers wrote


class PromptInUse(Refusal):
    """A prompt that was answered or labeled already can't be replaced any more."""

    status = 409


def record(*, access: Access, submission: Submission, counts: bool) -> None:
    """Raises BadAnswer for a written prompt that the project has already."""
    task = submission.assignment.task
    counts = counts and task.purpose == Task.Purpose.WORK
    if task.kind == Protocol.Kind.PROMPT:
        _add_prompt(access, submission)
    elif task.kind == Protocol.Kind.DEMONSTRATE:
        assert task.prompt_id is not None
        Demonstration.objects.create(
            project_id=task.project_id, prompt_id=task.prompt_id, submission=submission, text=submission.body["text"],
            counts=counts,
        )  # fmt: skip
    else:
        _add_ranking(access, submission, counts)


def withdraw(*, access: Access, submission: Submission, now: datetime) -> None:
    """What followed from a revision that another one takes the place of. Raises PromptInUse."""
    for answers in (Demonstration, Ranking):
        answers.objects.filter(submission=submission).update(counts=False)
    task = submission.assignment.task
    if task.kind == Protocol.Kind.PROMPT:
        _remove_prompt(access, submission)
    elif task.evaluation_id is not None:
        given = Verdict.objects.filter(
            evaluation=task.evaluation_id, prompt=task.prompt_id, rater=access.pseudonym, run=None
        )
        evaluations.withdraw_verdicts(verdicts=given, now=now)


def _add_prompt(access: Access, submission: Submission) -> None:
    body = submission.body
    new = prompts.new_prompt(value=body["text"], category=body.get("category", ""))
    added = prompts.add(project=access.project, prompts=[new], source=WRITTEN_HERE, author=access.user)
    if not added.num_added:
        raise BadAnswer("text", _("the project has this prompt already; write another one"))


def _remove_prompt(access: Access, submission: Submission) -> None:
    sha256 = prompts.sha256_of(messages=prompts.new_prompt(value=submission.body["text"]).messages)
    if not prompts.remove_unused(project=access.project, sha256=sha256, author=access.user):
        raise PromptInUse(_("This prompt is in use already and can't be changed any more."))


def _add_ranking(access: Access, submission: Submission, counts: bool) -> None:
    task, assignment, body = submission.assignment.task, submission.assignment, submission.body
    assert task.prompt_id is not None
    shown = rows(SHOWN, task=task.pk)
    id_of = dict(zip(KEYS, assignment.order_shown, strict=False))
    rank_of = {id_of[key]: rank for key, rank in body["ranks"].items()}
    edited = body.get("edited")
    ranking: Ranking = RANKINGS.create(
        project_id=task.project_id, task=task, prompt_id=task.prompt_id, submission=submission,
        completion_ids=[pk for pk, _names in shown], ranks=[rank_of[pk] for pk, _names in shown],
        strength=body.get("strength"), all_bad=body.get("all_bad", False),
        edited_completion_id=id_of[edited["key"]] if edited else None, edited_text=edited["text"] if edited else "",
        names_itself=any(names for _pk, names in shown), counts=counts,
    )  # fmt: skip
    if counts and task.evaluation is not None:
        _record_verdict(access, submission, ranking)


def _record_verdict(access: Access, submission: Submission, ranking: Ranking) -> None:
    task = submission.assignment.task
    (candidate, baseline), ranks = ranking.completion_ids, ranking.ranks
    first = submission.assignment.order_shown[0] == candidate
    verdict = evaluations.NewVerdict(
        prompt_id=ranking.prompt_id, candidate_completion_id=candidate, baseline_completion_id=baseline,
        score=0.5 if ranks[0] == ranks[1] else float(ranks[0] < ranks[1]), rater=access.pseudonym,
        position=Verdict.Position.CANDIDATE_FIRST if first else Verdict.Position.BASELINE_FIRST,
        replicate=submission.revision - 1,
    )  # fmt: skip
    assert task.evaluation is not None
    judge = judges.people_judge(project=access.project)
    evaluations.record_verdicts(evaluation=task.evaluation, judge=judge, verdicts=[verdict])
