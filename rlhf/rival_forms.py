"""What a manager fills in on the versions page to bring a rival or to ask for a comparison."""

from __future__ import annotations

from typing import Any

from django import forms

from rlhf.models import ModelVersion
from rlhf.row_files import MAX_BYTES, BadRows, numbered

EVALUATE = "Compare it with the current version at once"


class EndpointForm(forms.Form):
    prefix = "endpoint"
    name = forms.CharField(max_length=60, label="Name")
    base_url = forms.CharField(
        max_length=500, label="Address", help_text="up to and without /chat/completions, such as https://host/v1"
    )
    model = forms.CharField(max_length=500, label="Model", help_text="its name there")
    api_key_env = forms.CharField(
        max_length=100,
        required=False,
        label="Variable of the key",
        help_text="in the worker's environment, such as LARGE_API_KEY; the key itself is never stored",
    )
    evaluate = forms.BooleanField(required=False, initial=True, label=EVALUATE)

    def body(self) -> dict[str, Any]:
        """As the REST route takes it."""
        values = self.cleaned_data
        endpoint = {name: values[name] for name in ("base_url", "model", "api_key_env") if values[name]}
        return {"name": values["name"], "endpoint": endpoint, "evaluate": values["evaluate"]}


class AnswersForm(forms.Form):
    prefix = "answers"
    name = forms.CharField(max_length=60, label="Name")
    file = forms.FileField(
        label="File of answers",
        allow_empty_file=True,  # refused below, with what was expected
        help_text="JSONL or a JSON list of prompt (a text or messages) and answer, perhaps a category; at most 20 MB",
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json"}),
    )
    held_out = forms.BooleanField(
        required=False, initial=True, label="Keep new prompts held out", help_text="no run trains on them"
    )
    evaluate = forms.BooleanField(required=False, initial=True, label=EVALUATE)

    def clean_file(self) -> list[tuple[int, object]]:
        upload = self.cleaned_data["file"]
        if (upload.size or 0) > MAX_BYTES:
            raise forms.ValidationError(f"expected at most 20 MB, found {upload.size / 1024**2:.1f} MB")
        try:
            return numbered(content=upload.read())
        except BadRows as error:
            raise forms.ValidationError(error.message) from error


class ComparisonForm(forms.Form):
    prefix = "comparison"
    candidate = forms.ModelChoiceField(ModelVersion.objects.none(), label="Candidate", empty_label=None)
    baseline = forms.ModelChoiceField(ModelVersion.objects.none(), label="Against", empty_label=None)

    def __init__(self, *args: Any, versions: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("candidate", "baseline"):
            self.fields[name].queryset = versions  # type: ignore[attr-defined]
