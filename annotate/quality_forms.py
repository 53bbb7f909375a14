"""What a manager types about a person."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class PauseForm(forms.Form):
    reason = forms.CharField(
        max_length=500, strip=True, label=_("Reason"), help_text=_("The person reads it, and is told to ask you."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip
