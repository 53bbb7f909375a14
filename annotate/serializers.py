"""The JSON of labeling: what a task shows, what an answer carries. Blind: no version, no model, no completion id."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.assignment import Progress
from annotate.models import Assignment
from annotate.submissions import KEYS, Stored
from rlhf.models import MAX_TEXT, Completion
from rlhf.render import render


class MessageSerializer(serializers.Serializer[dict[str, Any]]):
    role = serializers.CharField()
    content = serializers.CharField()
    html = serializers.CharField()


class ShownCompletionSerializer(serializers.Serializer[dict[str, Any]]):
    key = serializers.CharField(help_text="its place on screen; another person's `a` is another completion")
    html = serializers.CharField()
    text = serializers.CharField()


class ProgressSerializer(serializers.Serializer[dict[str, Any]]):
    done_today = serializers.IntegerField()
    open = serializers.IntegerField(help_text="open tasks of the project, counted up to 1,000")


class TaskSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    task = serializers.IntegerField()
    slot = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=["demonstrate", "rank", "compare"])
    prompt = MessageSerializer(many=True)
    completions = ShownCompletionSerializer(many=True)
    allow_ties = serializers.BooleanField()
    guidelines_html = serializers.CharField()
    draft = serializers.DictField(allow_null=True)
    lease_expires_at = serializers.DateTimeField()
    progress = ProgressSerializer()


class NextSerializer(serializers.Serializer[dict[str, Any]]):
    next = TaskSerializer(allow_null=True)
    progress = ProgressSerializer()


class AnswerSerializer(serializers.Serializer[dict[str, Any]]):
    submission_id = serializers.UUIDField(help_text="made by the client; a retry carries the same one")
    text = serializers.CharField(
        required=False, max_length=MAX_TEXT, trim_whitespace=False, help_text="the answer of a demonstrate task"
    )
    ranks = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=9), required=False,
        help_text="rank by completion key, 1 is best; equal ranks are ties",
    )  # fmt: skip
    active_s = serializers.FloatField(required=False, default=0.0, min_value=0, max_value=86_400)


class StoredSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    submission_id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=["submitted", "surplus"])
    answer = serializers.DictField()
    revision = serializers.IntegerField()
    submitted_at = serializers.DateTimeField()


class SubmittedSerializer(NextSerializer):
    stored = StoredSerializer()


class DraftSerializer(serializers.Serializer[dict[str, Any]]):
    draft = serializers.DictField(help_text="any JSON object of at most 200,000 bytes; it comes back with the task")


class DraftSavedSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    state = serializers.ChoiceField(choices=["leased", "expired"])
    draft_saved_at = serializers.DateTimeField()
    lease_expires_at = serializers.DateTimeField()


class SkipSerializer(serializers.Serializer[dict[str, Any]]):
    reason = serializers.CharField(max_length=500)


def task_json(*, assignment: Assignment, progress: Progress) -> dict[str, Any]:
    """A task as its person sees it (TaskSerializer's shape; written out here because it is served often)."""
    task = assignment.task
    texts = dict(Completion.objects.filter(pk__in=assignment.order_shown).values_list("pk", "text"))
    shown = [texts[completion_id] for completion_id in assignment.order_shown]
    return {
        "assignment": assignment.pk,
        "task": task.pk,
        "slot": assignment.slot,
        "kind": task.kind,
        "prompt": [
            {**message, "html": render(message["content"])} for message in (task.prompt.messages if task.prompt else [])
        ],
        "completions": [
            {"key": key, "html": render(text), "text": text} for key, text in zip(KEYS, shown, strict=False)
        ],
        "allow_ties": task.protocol.allow_ties,
        "guidelines_html": render(task.protocol.guidelines),
        "draft": assignment.draft,
        "lease_expires_at": assignment.lease_expires_at.isoformat(),
        "progress": progress_json(progress),
    }


def progress_json(progress: Progress) -> dict[str, int]:
    return {"done_today": progress.done_today, "open": progress.open}


def stored_json(stored: Stored) -> dict[str, Any]:
    return {
        "assignment": stored.assignment,
        "submission_id": str(stored.submission_id),
        "state": stored.state,
        "answer": stored.answer,
        "revision": stored.revision,
        "submitted_at": stored.submitted_at.isoformat(),
    }
