"""Writers of SQLite wait in a queue: it is held for a write transaction and for nothing else, however that ends."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from tests.workers.processes import wait_for

pytestmark = pytest.mark.usefixtures("sqlite_database")


def is_held() -> bool:
    probe = os.open(f"{connection.settings_dict['NAME']}-queue", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False


def test_a_transaction_holds_the_queue_until_it_commits() -> None:
    User.objects.create(username="outside")
    assert not is_held()
    with transaction.atomic():
        with transaction.atomic():
            User.objects.create(username="inside")
        assert is_held()
    assert not is_held()


def test_a_transaction_that_fails_lets_the_next_one_go_on() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert is_held()
        raise ZeroDivisionError
    assert not is_held()


def test_a_connection_that_is_closed_in_a_transaction_lets_the_next_one_go_on() -> None:
    connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert is_held()
    connection.close()
    assert not is_held()


def test_who_has_waited_for_the_timeout_gives_up_names_the_file_and_may_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = f"{connection.settings_dict['NAME']}-queue"
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.2)
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    said = f"database is locked: another process holds {path} for over 0.2 s"
    with pytest.raises(OperationalError, match=said), transaction.atomic():
        User.objects.create(username="too early")
    os.close(other)
    wait_for(lambda: not is_held(), "the lock", 10.0)  # nobody holds it who has given up
    with transaction.atomic():
        User.objects.create(username="later")
    assert not is_held() and [user.username for user in User.objects.all()] == ["later"]


def test_many_writers_all_get_their_turn() -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with transaction.atomic():
                num = User.objects.count()
                User.objects.create(username=f"{number}-{turn}", first_name=str(num))
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(name) for name in User.objects.values_list("first_name", flat=True)) == list(range(80))
