"""Django's SQLite, where those who want to write wait in a queue instead of asking again and again.

SQLite has one writer at a time. Who comes second sleeps up to a tenth of a second between two looks, so that the lock
lies idle, and whoever comes later may be faster. Here a write transaction first takes a lock on a file beside the
database: the kernel wakes the next one at once. What keeps writers apart is SQLite's own lock, as ever. Nobody waits
longer than SQLite's own `timeout`.
"""

from __future__ import annotations

import fcntl
import os
import threading

from django.db import OperationalError
from django.db.backends.sqlite3 import base

SQLITE_TIMEOUT_S = 5.0  # what sqlite3 takes where nothing is said


class Waiting:
    """A thread that waits for the lock, since flock itself waits without end."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_given_up = False
        self.has_ended = threading.Event()
        self.mutex = threading.Lock()
        threading.Thread(target=self._wait, daemon=True).start()

    def ends_within(self, timeout_s: float) -> bool:
        """Whether the lock came in time; where it did not, the descriptor is closed once it comes."""
        self.has_ended.wait(timeout_s)
        with self.mutex:
            self.is_given_up = not self.has_ended.is_set()
        return not self.is_given_up

    def _wait(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        with self.mutex:
            if self.is_given_up:
                os.close(self.descriptor)
            else:
                self.has_ended.set()


def _is_locked_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class DatabaseWrapper(base.DatabaseWrapper):
    _queue: int | None = None  # this connection's own opening of the file
    _is_first = False

    def _start_transaction_under_autocommit(self) -> None:
        self._wait()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # unknown to the stubs
        except BaseException:
            self._let_the_next()
            raise

    def _commit(self) -> None:
        try:
            super()._commit()  # type: ignore[misc]  # unknown to the stubs
        finally:
            self._let_the_next()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]  # unknown to the stubs
        finally:
            self._let_the_next()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # unknown to the stubs
        finally:
            self._let_the_next()
            if self._queue is not None:
                os.close(self._queue)
                self._queue = None

    def _wait(self) -> None:
        if self.is_in_memory_db():
            return
        if self._queue is None:
            self._queue = os.open(f"{self.settings_dict['NAME']}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _is_locked_at_once(self._queue):
            waiting = Waiting(self._queue)
            timeout_s = self.settings_dict["OPTIONS"].get("timeout", SQLITE_TIMEOUT_S)
            if not waiting.ends_within(timeout_s):
                path, self._queue = f"{self.settings_dict['NAME']}-queue", None
                raise OperationalError(f"database is locked: another process holds {path} for over {timeout_s:g} s")
        self._is_first = True

    def _let_the_next(self) -> None:
        if self._is_first and self._queue is not None:
            self._is_first = False
            fcntl.flock(self._queue, fcntl.LOCK_UN)
