"""Django's SQLite, where those who want to write wait in a queue instead of asking again and again.

SQLite has one writer at a time. Who comes second sleeps up to a tenth of a second between two looks, so that the lock
lies idle, and whoever comes later may be faster. Here a write transaction first takes a lock on a file beside the
database: the kernel wakes the next one at once. What keeps writers apart is SQLite's own lock, as ever.
"""

from __future__ import annotations

import fcntl
import os

from django.db.backends.sqlite3 import base


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
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        self._is_first = True

    def _let_the_next(self) -> None:
        if self._is_first and self._queue is not None:
            self._is_first = False
            fcntl.flock(self._queue, fcntl.LOCK_UN)
