"""Forms of the administration, in its widgets."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from rlhf import loop_settings, projects
from rlhf.errors import Refusal
from rlhf.forms import parsed_prompts
from rlhf.models import Project
from rlhf.prompt_files import PromptFile


class PromptImportForm(forms.Form):
    project = forms.ModelChoiceField(Project.objects.order_by("name"), widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        label="Prompts file",
        allow_empty_file=True,  # refused below, with what was expected
        help_text="JSONL or CSV with prompt or messages for every row, optionally a category and a target (what "
        "a verifier compares answers with); at most 20 MB.",
        widget=UnfoldAdminFileFieldWidget,
    )

    def clean_file(self) -> PromptFile:
        return parsed_prompts(self.cleaned_data["file"])


class ProjectAdminForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = (
            "name", "slug", "description", "base_model", "prompt_format", "held_out_share", "loop", "state",
            "state_reason",
        )  # fmt: skip

    def clean_loop(self) -> dict[str, Any]:
        value = self.cleaned_data["loop"]
        if not isinstance(value, dict):
            raise forms.ValidationError(f"loop: expected an object, found {type(value).__name__}")
        try:
            loop_settings.parse(value)
        except Refusal as error:
            raise forms.ValidationError(error.message) from error
        return value

    def clean_base_model(self) -> str:
        try:
            return projects.checked_base_model(value=self.cleaned_data["base_model"])
        except Refusal as error:
            raise forms.ValidationError(error.message) from error
