"""Fifty people at once over four server processes: every task gets exactly its three answers, from three people."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.annotate import clients
from tests.annotate.clients import Client
from tests.annotate.pool import OVERLAP
from tests.services import Servers, new_database

NUM_TASKS, NUM_LABELERS, NUM_PROCESSES = 500, 50, 4


def test_fifty_people_over_four_processes_drain_a_pool_exactly_also_when_a_third_of_them_vanishes(
    live_servers: Callable[..., Servers], database_url: str
) -> None:
    servers = live_servers(num=NUM_PROCESSES, database_url=database_url)

    everybody = some_clients(servers, "staying")
    clients.label(everybody)
    assert sum(client.num_answers for client in everybody) == NUM_TASKS * OVERLAP
    assert clients.told_none_too_early(everybody) == []
    assert_drained(servers, "staying", left=0)

    everybody = some_clients(servers, "vanishing")
    gone, there = everybody[::3], everybody[1::3] + everybody[2::3]
    for number, client in enumerate(gone):
        client.stops_after = number % 9
    clients.label(everybody)
    assert clients.told_none_too_early(everybody) == []
    assert sum(client.num_answers for client in everybody) == NUM_TASKS * OVERLAP - len(gone)

    servers.run("-m", "tests.annotate.pool", "lapse", "vanishing")
    clients.label(there)
    assert sum(client.num_answers for client in everybody) == NUM_TASKS * OVERLAP
    assert_drained(servers, "vanishing", left=len(gone))


def some_clients(servers: Servers, project: str) -> list[Client]:
    tokens = json.loads(servers.run("-m", "tests.annotate.pool", "make", project, str(NUM_TASKS), str(NUM_LABELERS)))
    return [Client(servers.urls[number % NUM_PROCESSES], token, project) for number, token in enumerate(tokens)]


def assert_drained(servers: Servers, project: str, *, left: int) -> None:
    """Every task has its three answers by three people, and nothing else is there but `left` lapsed leases."""
    found = json.loads(servers.run("-m", "tests.annotate.pool", "count", project))
    per_task = Counter(task for task, _, _ in found["answers"])
    people = {(task, labeler) for task, _, labeler in found["answers"]}
    assert set(per_task.values()) == {OVERLAP} and len(per_task) == NUM_TASKS
    assert len(people) == NUM_TASKS * OVERLAP  # nobody twice
    assert (found["states"], found["other_states"]) == ([["done", OVERLAP]], ["expired"] * left)
    assert found["num_submissions"] == found["num_demonstrations"] == NUM_TASKS * OVERLAP


def test_a_slot_that_is_taken_between_looking_and_reserving_costs_nothing_but_another_look(
    live_servers: Callable[..., Servers], postgres_url: str, migrated_postgres: str
) -> None:
    """PostgreSQL makes the second of two inserts wait for the first; when that commits, the second is refused."""
    empty = new_database(url=postgres_url, template=migrated_postgres)
    with empty as url, psycopg.connect(url) as first, psycopg.connect(url) as watcher:
        servers = live_servers(num=1, database_url=url)
        tokens = json.loads(servers.run("-m", "tests.annotate.pool", "make", "pool", "1", "2"))
        first.execute(
            "INSERT INTO annotate_assignment"
            " (task_id, labeler_id, slot, state, lease_expires_at, order_shown, skip_reason, created_at,"
            " protocol_revision)"
            " SELECT task.id, person.id, 0, 'leased', now() + interval '1 hour', '[]', '', now(), 1"
            " FROM annotate_task task, auth_user person WHERE person.username = 'labeler0'"
        )
        other = Client(servers.urls[0], tokens[1], "pool")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(other.ask)
            _wait_until_somebody_waits(watcher)
            first.commit()
            asked.result()
        assert other.task is not None
        row = watcher.execute("SELECT slot FROM annotate_assignment WHERE id = %s", [other.task["assignment"]])
        assert row.fetchone() == (1,)


def _wait_until_somebody_waits(watcher: psycopg.Connection) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row = watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
    raise AssertionError("expected the second reservation to wait for the first, found nobody waiting")
