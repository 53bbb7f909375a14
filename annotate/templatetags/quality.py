"""What a reviewer typed, shown again where something was wrong with it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
CHECKED, SELECTED, NOTHING = (mark_safe(text) for text in (" checked", " selected", ""))  # noqa: S308 (our own text)


@register.simple_tag(takes_context=True)
def typed(context: Context, *parts: Any) -> SafeString:
    """ " checked" where the field of these parts, all but the last joined by -, was sent with the last as its value."""
    *names, value = map(str, parts)
    return CHECKED if _sent(context, "-".join(names), value) else NOTHING


@register.simple_tag(takes_context=True)
def typed_option(context: Context, name: str, value: Any) -> SafeString:
    return SELECTED if _sent(context, name, str(value)) else NOTHING


def _sent(context: Context, name: str, value: str) -> bool:
    return value in context["typed"].getlist(name)
