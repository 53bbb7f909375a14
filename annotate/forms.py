"""Forms of the administration of labeling, in its widgets."""

from __future__ import annotations

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from annotate import imports
from rlhf.errors import Refusal
from rlhf.models import Project


class DemonstrationImportForm(forms.Form):
    project = forms.ModelChoiceField(Project.objects.order_by("name"), widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        label="Demonstrations file",
        allow_empty_file=True,  # refused below, with what was expected
        help_text=f"{imports.EXPECTED}; at most 20 MB.",
        widget=UnfoldAdminFileFieldWidget,
    )

    def clean_file(self) -> imports.DemonstrationFile:
        uploaded = self.cleaned_data["file"]
        if uploaded.size > imports.MAX_BYTES:
            raise forms.ValidationError(f"{uploaded.name}: expected at most 20 MB, found {uploaded.size:,} bytes")
        try:
            return imports.parse(name=uploaded.name, content=uploaded.read())
        except Refusal as error:
            raise forms.ValidationError(error.message) from error
