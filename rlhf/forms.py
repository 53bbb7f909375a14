"""What people type into the pages, checked once; the decisions are made further down."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from rlhf import prompt_files, tries
from rlhf.models import MAX_TEXT, ModelVersion, Role, Scope


class FirstAdminForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("username",)


class PromptFileForm(forms.Form):
    file = forms.FileField(
        label="Prompts file",
        allow_empty_file=True,  # refused below, with what was expected
        help_text="JSONL or CSV with prompt or messages for every row, optionally a category and a target (what "
        "a verifier compares answers with); at most 20 MB.",
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.csv"}),
    )

    def clean_file(self) -> prompt_files.PromptFile:
        return parsed_prompts(self.cleaned_data["file"])


def parsed_prompts(upload: UploadedFile) -> prompt_files.PromptFile:
    """The prompts of an upload. Raises ValidationError with the file's one sentence."""
    if (upload.size or 0) > prompt_files.MAX_BYTES:
        raise forms.ValidationError(
            f"{upload.name}: expected at most 20 MB, found {(upload.size or 0) / 1024**2:.1f} MB"
        )
    try:
        return prompt_files.parse(name=upload.name or "", content=upload.read())
    except prompt_files.BadPromptFile as error:
        raise forms.ValidationError(error.message) from error


class TokenForm(forms.Form):
    name = forms.CharField(max_length=60, required=False, label="Name", help_text="what it is for, such as: notebook")
    scope = forms.ChoiceField(label="May")

    def __init__(self, *args: Any, scopes: tuple[Scope, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].choices = [(scope.value, scope.label) for scope in scopes]  # type: ignore[attr-defined]


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, label="User name", help_text="of somebody who has an account here")
    role = forms.ChoiceField(choices=Role.choices, label="Role")

    def clean_username(self) -> User:
        user = User.objects.filter(username=self.cleaned_data["username"].strip(), is_active=True).first()
        if user is None:
            raise forms.ValidationError(
                f"expected a user of this server, found nobody named {self.cleaned_data['username']}"
            )
        return user


class TryForm(forms.Form):
    prompt = forms.CharField(
        label="Prompt",
        max_length=MAX_TEXT,
        strip=True,
        help_text="Ctrl+Enter asks",
        widget=forms.Textarea(attrs={"rows": 4, "autofocus": True, "aria-keyshortcuts": "Control+Enter"}),
    )
    version = forms.ModelChoiceField(ModelVersion.objects.none(), label="Version", empty_label=None)
    beside = forms.ModelChoiceField(
        ModelVersion.objects.none(), label="Beside it", required=False, empty_label="nothing else"
    )
    temperature = forms.FloatField(
        label="Temperature",
        min_value=0,
        max_value=tries.MAX_TEMPERATURE,
        required=False,
        widget=forms.NumberInput(attrs={"step": 0.1}),
    )
    num_samples = forms.IntegerField(label="Answers of each", min_value=1, max_value=tries.MAX_SAMPLES, required=False)

    def __init__(self, *args: Any, versions: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("version", "beside"):
            self.fields[name].queryset = versions  # type: ignore[attr-defined]

    def clean_num_samples(self) -> int:
        return self.cleaned_data["num_samples"] or 1
