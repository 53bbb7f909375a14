"""Django's default database, swapped within this process: the same test on SQLite and on PostgreSQL, with threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from django.db import connections

from config.environment import database


@contextlib.contextmanager
def installed(url: str) -> Iterator[None]:
    """The database behind `url` for every thread of this process, until the end. Commits are real."""
    before, settings_before = connections["default"], connections.settings["default"]
    connections.settings["default"] = connections.configure_settings({"default": database(url, Path())})["default"]
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = settings_before
        connections["default"] = before
