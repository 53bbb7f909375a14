"""Keeps a claim alive while this process itself works on its rows: freezing a dataset, collecting outputs.

The beats come from a thread with a database connection of its own. On the connection that reads, a write in the middle
of a long read would fail on SQLite, whose readers can't turn into writers once somebody else has written.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from rlhf import runs
from rlhf.runs import Claim, Progress

log = logging.getLogger(__name__)

BEAT_S = 2.0


@contextlib.contextmanager
def beating(*, claim: Claim, progress: Progress) -> Iterator[None]:
    """Beat every two seconds until the block ends. A lost claim is found out by the update that ends the run."""
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(claim, progress, over), daemon=True, name="heart")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(claim: Claim, progress: Progress, over: threading.Event) -> None:
    try:
        while not over.wait(BEAT_S):
            try:
                runs.heartbeat(claim=claim, now=timezone.now(), progress=progress)
            except DatabaseError as error:
                log.warning("run %s: heartbeat failed: %s", claim.run_id, error)
                connection.close()
    finally:
        connection.close()
