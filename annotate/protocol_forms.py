"""Forms of a protocol in the administration: begun from a preset, every field edited as words and lists of lines."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from annotate import batches, gold_files, protocol_rules, protocols
from annotate.models import Protocol, Task
from annotate.presets import PRESETS
from annotate.protocol_rules import BadProtocol
from annotate.questions import LANGUAGE
from rlhf.errors import Refusal

LANGUAGES = [code for code, _ in settings.LANGUAGES]
OTHER_LANGUAGES = [(code, name) for code, name in settings.LANGUAGES if code != LANGUAGE]
LINE = " | ".join(["name", *(f"{name} text" for _, name in settings.LANGUAGES)])
HELP_LISTS = {
    "flags": "Yes or no questions about each answer.",
    "aspects": "A preference of its own for each, between two answers.",
    "categories": "One of them is chosen for the prompt.",
    "skip_reasons": "Offered on skipping, besides a text of one's own. Empty: reasons that fit everywhere.",
}
LABELS = {
    "num_completions": "Answers shown",
    "allow_all_bad": 'Offer "both bad"',
    "strength": "Strength of preference",
    "rate_completions": "Rate every answer",
    "ask_pair_safety": "Ask which are safe",
    "reason_min_characters": "Written reason, at least",
    "edit_best": "Edit the best answer",
    "overlap": "People per task",
    "daily_limit": "Tasks per person and day",
    "gold_percent": "Gold tasks, percent",
    "qualification_size": "Qualification tasks",
    "qualification_percent": "Right to pass, percent",
    "auto_pause": "Pause by the quality rules",
}
NAMES = {
    Protocol.Kind.DEMONSTRATE: "Write the ideal answer",
    Protocol.Kind.RANK: "Rank answers",
    Protocol.Kind.COMPARE: "Compare two answers",
    Protocol.Kind.PROMPT: "Write a prompt",
}


class ChoicesField(forms.CharField):
    """A list of choices as lines `name | English text | Chinese text`; what is wrong is named by its line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "\n".join(
            " | ".join([choice["name"], *(choice["labels"].get(code, "") for code in LANGUAGES)]).rstrip(" |")
            for choice in value
        )

    def to_python(self, value: Any) -> list[dict[str, Any]]:  # type: ignore[override]
        choices: list[dict[str, Any]] = []
        errors: list[str] = []
        for number, line in enumerate((value or "").splitlines(), 1):
            if not line.strip():
                continue
            try:
                choices.append(self._choice(number, line, [choice["name"] for choice in choices]))
            except BadProtocol as error:
                errors.append(error.reason)
        if errors:
            raise forms.ValidationError(errors)
        return choices

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (self.prepare_value(initial or []) or "") != (data or "").replace("\r\n", "\n")

    def _choice(self, number: int, line: str, taken: list[str]) -> dict[str, Any]:
        name, *texts = (part.strip() for part in line.split("|"))
        if not 1 <= len(texts) <= len(LANGUAGES):
            raise BadProtocol(
                "", f"line {number}: expected {LINE}, found {len(texts) + 1} parts in {line.strip()[:80]!r}"
            )
        labels = {code: text for code, text in zip(LANGUAGES, texts, strict=False) if text}
        choice = {"name": name, "labels": labels}
        protocol_rules.check_choice(field="", place=f"line {number}", value=choice)
        if name in taken:
            raise BadProtocol("", f"line {number}: expected a name of its own, found {name!r} again")
        return choice


class ProtocolAdminForm(forms.ModelForm):
    flags = ChoicesField(help_text=f"{HELP_LISTS['flags']} One per line: {LINE}")
    aspects = ChoicesField(help_text=f"{HELP_LISTS['aspects']} One per line: {LINE}")
    categories = ChoicesField(help_text=f"{HELP_LISTS['categories']} One per line: {LINE}")
    skip_reasons = ChoicesField(help_text=f"{HELP_LISTS['skip_reasons']} One per line: {LINE}")

    class Meta:
        model = Protocol
        fields = tuple(sorted(set(protocol_rules.FIELDS) - {"guideline_translations"}))
        labels = LABELS
        help_texts = {"overlap": "from the next batch on"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for code, name in OTHER_LANGUAGES:
            self.fields[translated(code)].initial = self.instance.guideline_translations.get(code, "")
            self.fields[translated(code)].label = f"Guidelines in {name}"
        if self.instance.kind in protocol_rules.WRITTEN:
            for name in {*protocol_rules.OF_COMPLETIONS, *protocol_rules.KNOWN_ANSWERS} & self.fields.keys():
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name, value in cleaned.items():
            if isinstance(value, str):  # browsers send line breaks as two characters
                cleaned[name] = value.replace("\r\n", "\n")
        given = ((code, cleaned.pop(translated(code), "")) for code, _ in OTHER_LANGUAGES)
        cleaned["guideline_translations"] = {code: text for code, text in given if text.strip()}
        there = {name: getattr(self.instance, name) for name in protocol_rules.FIELDS}
        if not self.errors:
            try:
                protocols.check(protocol=self.instance, values={**there, **cleaned})
            except BadProtocol as error:
                field = error.extra["field"]
                self.add_error(field if field in self.fields else None, error.reason)
        return cleaned

    @property
    def asked(self) -> dict[str, Any]:
        """The fields of the protocol, as protocols.revise takes them."""
        return {name: self.cleaned_data[name] for name in protocol_rules.FIELDS if name in self.cleaned_data}


def translated(code: str) -> str:
    return f"guidelines_{code.replace('-', '_')}"


for _code, _name in OTHER_LANGUAGES:
    ProtocolAdminForm.declared_fields[translated(_code)] = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 12})
    )


class AddProtocolForm(forms.ModelForm):
    """A preset, or nothing but a kind, to begin with; everything is edited on the next page."""

    preset = forms.ChoiceField(
        label="Begin with",
        widget=UnfoldAdminSelectWidget,
        choices=[
            ("Presets", [(preset.name, f"{preset.title} ({preset.source})") for preset in PRESETS.values()]),
            ("Nothing but a kind", [(f"kind:{kind}", name) for kind, name in NAMES.items()]),
        ],
    )
    name = forms.CharField(max_length=protocol_rules.MAX_NAME, widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = Protocol
        fields = ("project", "preset", "name")

    @property
    def kind(self) -> str:
        chosen = self.cleaned_data["preset"]
        return PRESETS[chosen].kind if chosen in PRESETS else chosen.removeprefix("kind:")

    @property
    def asks(self) -> dict[str, Any]:
        chosen = self.cleaned_data["preset"]
        return dict(PRESETS[chosen].asks) if chosen in PRESETS else {}

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        project = self.cleaned_data.get("project")
        if project is not None and project.protocols.filter(name=name).exists():
            raise forms.ValidationError(f"expected a name that is free, found {name!r} in {project}")
        return name


class PromptTasksForm(forms.Form):
    num = forms.IntegerField(
        label="Tasks to open", min_value=1, max_value=batches.MAX_PROMPT_TASKS, initial=100,
        widget=UnfoldAdminIntegerFieldWidget, help_text="One prompt each; every labeler gets the next one.",
    )  # fmt: skip


class GoldImportForm(forms.Form):
    """Bound to the protocol whose tasks the file brings."""

    purpose = forms.ChoiceField(
        choices=[
            (Task.Purpose.GOLD, "Gold: mixed silently into the work"),
            (Task.Purpose.QUALIFICATION, "Qualification: before the work, with the explanation shown"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    file = forms.FileField(
        label="File of tasks with known answers",
        allow_empty_file=True,  # refused below, with what was expected
        help_text=f"{gold_files.EXPECTED}; at most {gold_files.MAX_ROWS:,} rows.",
        widget=UnfoldAdminFileFieldWidget,
    )

    def __init__(self, *args: Any, protocol: Protocol, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.protocol = protocol

    def clean_file(self) -> gold_files.GoldFile:
        uploaded = self.cleaned_data["file"]
        if uploaded.size > gold_files.MAX_BYTES:
            raise forms.ValidationError(f"{uploaded.name}: expected at most 20 MB, found {uploaded.size:,} bytes")
        try:
            return gold_files.parse(name=uploaded.name, content=uploaded.read(), protocol=self.protocol)
        except Refusal as error:
            raise forms.ValidationError(error.message) from error
