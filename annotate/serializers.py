"""The shapes of the labeling API, for its schema and its small bodies; annotate/screens.py fills those of tasks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.answers import MAX_REASON
from annotate.questions import PAIR_SAFETY
from rlhf.models import MAX_TEXT


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


class ChoiceSerializer(serializers.Serializer[dict[str, Any]]):
    name = serializers.CharField(help_text="what an answer carries")
    label = serializers.CharField(help_text="in the interface language")  # type: ignore[assignment]


class LevelSerializer(serializers.Serializer[dict[str, Any]]):
    value = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]


class StrengthSerializer(serializers.Serializer[dict[str, Any]]):
    scale = serializers.ChoiceField(choices=["four", "seven"])
    levels = LevelSerializer(many=True)


class RatingSerializer(serializers.Serializer[dict[str, Any]]):
    low = serializers.IntegerField()
    high = serializers.IntegerField()


class ReasonSerializer(serializers.Serializer[dict[str, Any]]):
    min_characters = serializers.IntegerField()


class AsksSerializer(serializers.Serializer[dict[str, Any]]):
    ties = serializers.BooleanField()
    all_bad = serializers.BooleanField()
    strength = StrengthSerializer(allow_null=True)
    rating = RatingSerializer(allow_null=True)
    flags = ChoiceSerializer(many=True)
    aspects = ChoiceSerializer(many=True)
    pair_safety = serializers.BooleanField()
    reason = ReasonSerializer(allow_null=True)
    edit = serializers.BooleanField()
    categories = ChoiceSerializer(many=True)


class GuidelinesSerializer(serializers.Serializer[dict[str, Any]]):
    html = serializers.CharField()
    revision = serializers.IntegerField()
    protocol = serializers.IntegerField()
    must_read = serializers.BooleanField(help_text="to be confirmed before the task: see guidelines/<protocol>/read")


class QualificationSerializer(serializers.Serializer[dict[str, Any]]):
    number = serializers.IntegerField()
    of = serializers.IntegerField()


class TaskSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    task = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=["demonstrate", "rank", "compare", "prompt"])
    prompt = MessageSerializer(many=True)
    completions = ShownCompletionSerializer(many=True)
    asks = AsksSerializer()
    skip_reasons = ChoiceSerializer(many=True)
    guidelines = GuidelinesSerializer()
    content_warning = serializers.CharField(allow_blank=True)
    qualification = QualificationSerializer(allow_null=True)
    draft = serializers.DictField(allow_null=True)
    draft_saved_at = serializers.DateTimeField(allow_null=True)
    revises = serializers.IntegerField(allow_null=True, help_text="the revision that came back by undo, in `draft`")
    lease_expires_at = serializers.DateTimeField()
    progress = ProgressSerializer()


class HoldsSerializer(serializers.Serializer[dict[str, Any]]):
    holds = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text="the prefetched assignment that the page has"
    )


class NextSerializer(serializers.Serializer[dict[str, Any]]):
    next = TaskSerializer(allow_null=True)
    why_nothing = serializers.CharField(help_text="in words, where tasks are open and none of them is for you now")
    confirmed = serializers.IntegerField(allow_null=True, help_text="the held assignment, where it is yours now")
    prefetched = TaskSerializer(allow_null=True, help_text="reserved for your next turn, for a minute")
    progress = ProgressSerializer()
    paused = serializers.CharField(required=False, help_text="why you are given nothing, where you are paused")


class PrefetchedSerializer(serializers.Serializer[dict[str, Any]]):
    prefetched = TaskSerializer(allow_null=True)


class EnvelopeSerializer(HoldsSerializer):
    """What an answer carries besides what it says."""

    submission_id = serializers.UUIDField(help_text="made by the client; a retry carries the same one")
    active_s = serializers.FloatField(required=False, default=0.0, min_value=0, max_value=86_400)
    revises = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text="the revision that this one takes the place of"
    )


class EditedSerializer(serializers.Serializer[dict[str, Any]]):
    key = serializers.CharField(help_text="of one of the best")
    text = serializers.CharField(max_length=MAX_TEXT)


class AnswerSerializer(EnvelopeSerializer):
    """For the schema: what a task asks for, and no more, is checked by annotate/answers.py."""

    text = serializers.CharField(
        required=False, max_length=MAX_TEXT, trim_whitespace=False, help_text="what was written: demonstrate, prompt"
    )
    category = serializers.CharField(required=False)
    ranks = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=9), required=False,
        help_text="rank by completion key, 1 is best; equal ranks are ties",
    )  # fmt: skip
    all_bad = serializers.BooleanField(required=False, help_text="none of the answers will do; ranks are equal then")
    strength = serializers.IntegerField(required=False, min_value=0, max_value=4)
    ratings = serializers.DictField(child=serializers.IntegerField(min_value=1, max_value=7), required=False)
    flags = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False,
        help_text="names by completion key, an empty list for none",
    )  # fmt: skip
    safety = serializers.ChoiceField(choices=PAIR_SAFETY, required=False, help_text="which of the two are safe")
    aspects = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField(min_value=1, max_value=2)), required=False,
        help_text="ranks by completion key for each aspect",
    )  # fmt: skip
    reason = serializers.CharField(required=False, max_length=MAX_REASON)
    edited = EditedSerializer(required=False, allow_null=True)


class StoredSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    submission_id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=["submitted", "surplus", "quarantined"])
    answer = serializers.DictField()
    revision = serializers.IntegerField()
    submitted_at = serializers.DateTimeField()


class FeedbackSerializer(serializers.Serializer[dict[str, Any]]):
    right = serializers.BooleanField()
    html = serializers.CharField()
    expected = serializers.DictField(help_text="the known answer, in the keys of your screen")


class SubmittedSerializer(NextSerializer):
    stored = StoredSerializer()
    feedback = FeedbackSerializer(allow_null=True, help_text="on a qualification task")
    undo_until = serializers.DateTimeField(allow_null=True)


class UndoneSerializer(serializers.Serializer[dict[str, Any]]):
    next = TaskSerializer()


class ReadSerializer(serializers.Serializer[dict[str, Any]]):
    revision = serializers.IntegerField(min_value=1)


class SettingsSerializer(serializers.Serializer[dict[str, Any]]):
    declines_warned = serializers.BooleanField(help_text="no tasks with a content warning for me")


class DraftSerializer(serializers.Serializer[dict[str, Any]]):
    draft = serializers.DictField(help_text="any JSON object of at most 600,000 bytes; it comes back with the task")
    follows = serializers.DateTimeField(
        required=False, allow_null=True, help_text="draft_saved_at of the draft that this one goes on from"
    )


class DraftSavedSerializer(serializers.Serializer[dict[str, Any]]):
    assignment = serializers.IntegerField()
    state = serializers.ChoiceField(choices=["leased", "expired"])
    draft_saved_at = serializers.DateTimeField()
    lease_expires_at = serializers.DateTimeField()


class LeaseSerializer(serializers.Serializer[dict[str, Any]]):
    state = serializers.ChoiceField(choices=["leased", "expired"])
    lease_expires_at = serializers.DateTimeField()


class SkipSerializer(HoldsSerializer):
    reason = serializers.CharField(max_length=500, help_text="the name of a skip reason of the task, or your own words")
    note = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
