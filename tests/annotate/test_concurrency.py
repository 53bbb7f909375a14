"""Twenty people at once over two server processes: every task gets exactly its two answers, from two people."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg

from tests.annotate.pool import OVERLAP
from tests.services import Servers, new_database

NUM_TASKS, NUM_LABELERS = 60, 20


def test_twenty_people_over_two_processes_give_each_task_exactly_two_answers(
    live_servers: Callable[..., Servers], database_url: str
) -> None:
    servers = live_servers(num=2, database_url=database_url)
    tokens = json.loads(servers.run("-m", "tests.annotate.pool", "make", str(NUM_TASKS), str(NUM_LABELERS)))

    with ThreadPoolExecutor(NUM_LABELERS) as pool:
        addresses = [servers.urls[index % 2] for index in range(NUM_LABELERS)]
        answered = sum(pool.map(work, addresses, tokens))

    found = json.loads(servers.run("-m", "tests.annotate.pool", "count"))
    per_task = Counter(task for task, _, _ in found["answers"])
    people = {(task, labeler) for task, _, labeler in found["answers"]}
    assert answered == NUM_TASKS * OVERLAP
    assert set(per_task.values()) == {OVERLAP} and len(per_task) == NUM_TASKS
    assert len(people) == NUM_TASKS * OVERLAP  # nobody twice
    assert (found["states"], found["other_states"]) == ([["done", OVERLAP]], [])
    assert found["num_submissions"] == found["num_demonstrations"] == NUM_TASKS * OVERLAP


def work(address: str, token: str) -> int:
    """Answer tasks until there is none left; every other answer is sent twice. Returns how many tasks were answered."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    task = _post(connection, token, "next", {})["next"]
    num = 0
    while task is not None:
        answer = {"submission_id": str(uuid.uuid4()), "text": f"Answer to {task['task']}"}
        path = f"assignments/{task['assignment']}/submit"
        sent = [_post(connection, token, path, answer) for _ in range(1 + num % 2)]
        assert all(reply["stored"] == sent[0]["stored"] for reply in sent)
        assert sent[0]["stored"]["state"] == "submitted"
        task = sent[-1]["next"]
        num += 1
    return num


def _post(connection: http.client.HTTPConnection, token: str, path: str, body: dict) -> dict:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/labeling/pool/{path}", json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, f"{path}: {response.status} {content[:500]!r}"
    return json.loads(content)


def test_a_slot_that_is_taken_between_looking_and_reserving_costs_nothing_but_another_look(
    live_servers: Callable[..., Servers], postgres_url: str
) -> None:
    """PostgreSQL makes the second of two inserts wait for the first; when that commits, the second is refused."""
    with new_database(url=postgres_url) as url, psycopg.connect(url) as first, psycopg.connect(url) as watcher:
        servers = live_servers(num=1, database_url=url)
        tokens = json.loads(servers.run("-m", "tests.annotate.pool", "make", "1", "2"))
        first.execute(
            "INSERT INTO annotate_assignment"
            " (task_id, labeler_id, slot, state, lease_expires_at, order_shown, skip_reason, created_at,"
            " protocol_revision)"
            " SELECT task.id, person.id, 0, 'leased', now() + interval '1 hour', '[]', '', now(), 1"
            " FROM annotate_task task, auth_user person WHERE person.username = 'labeler0'"
        )
        connection = http.client.HTTPConnection(urlsplit(servers.urls[0]).netloc, timeout=60)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(_post, connection, tokens[1], "next", {})
            _wait_until_somebody_waits(watcher)
            first.commit()
            assert second.result()["next"] is not None
            assert first.execute("SELECT slot FROM annotate_assignment ORDER BY slot").fetchall() == [(0,), (1,)]


def _wait_until_somebody_waits(watcher: psycopg.Connection) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row = watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
    raise AssertionError("expected the second reservation to wait for the first, found nobody waiting")
