"""The interface's language in templates."""

from __future__ import annotations

from django import template
from django.utils.translation import get_language

from rlhf import languages

register = template.Library()


@register.simple_tag
def script_texts_url() -> str:
    """Where the texts of the scripts are, in the language of the page."""
    return languages.script_texts_url(get_language())
