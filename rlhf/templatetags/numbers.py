"""Numbers and texts as the pages show them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from rlhf import charts
from rlhf.render import render

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    return render(text)


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else charts.percent(share)


@register.filter
def percent_fine(share: float | None) -> str:
    """With a digit behind the point, for shares that differ by little."""
    return "–" if share is None else f"{share * 100:.1f}\N{NO-BREAK SPACE}%"


@register.filter
def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "–" if difference is None else f"{difference * 100:+.1f}".replace("-", "\N{MINUS SIGN}")


@register.filter
def significant(value: object) -> str:
    """Four significant digits of a number; anything else as it is."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


@register.filter
def setting(value: object) -> str:
    """A value of a configuration, as JSON has it; a text without its quotes."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


@register.filter
def item(mapping: dict[str, object], key: str) -> object:
    return mapping.get(key)


@register.filter
def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def took(start: datetime | None, end: datetime | None) -> str:
    """How long something took, or has taken so far."""
    if start is None:
        return "–"
    return _duration((end or timezone.now()) - start)


@register.filter
def left(run: object) -> str:
    """Time left of a running run at the speed so far; empty where nothing can be said."""
    if getattr(run, "state", "") != "running":
        return ""
    step, total = getattr(run, "step", 0), getattr(run, "total_steps", 0)
    started_at, heartbeat_at = getattr(run, "started_at", None), getattr(run, "heartbeat_at", None)
    if not (step and total and started_at and heartbeat_at):
        return ""
    return f"{_duration((heartbeat_at - started_at) * ((total - step) / step))} left"


def _duration(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
