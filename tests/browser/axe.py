"""What axe-core says about the page that is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = (Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js").read_text()
RUN = "(options) => axe.run(document, { resultTypes: ['violations'], ...options }).then((found) => found.violations)"
CONTRAST = {"runOnly": ["color-contrast"]}


def violations(page: Page) -> list[str]:
    """One line for each violation, with the elements: all rules in light, and the contrast again in dark."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SOURCE)
    found = []
    for scheme, options in (("light", {}), ("dark", CONTRAST)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{scheme}: {_line(violation)}" for violation in page.evaluate(RUN, options)]
    return found


def _line(violation: dict[str, Any]) -> str:
    elements = "; ".join(f"{node['html'][:160]} ({_reason(node)})" for node in violation["nodes"][:5])
    return f"{violation['id']}: {violation['help']}: {elements}"


def _reason(node: dict[str, Any]) -> str:
    return " ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]][:1])
