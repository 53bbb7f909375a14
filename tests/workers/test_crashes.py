"""Whatever is stopped or killed, a demo ends with the same weights, and nothing is counted twice, lost or left running.

The one that was left alone serves afterwards: a version that is registered there is answered and judged unasked.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.learning.conftest import replying  # noqa: F401 (a fixture)
from tests.learning.reply_server import Reply, ReplyServer
from tests.workers.killed_demo import DEMO, LONG_S, STALE_S, Demos, run_both
from tests.workers.killed_judging import kill_in_the_middle, outside, show, silent_model
from tests.workers.processes import Command, processes, wait_for
from tests.workers.records import Records

pytestmark = pytest.mark.slow
KINDS = ("people", "gold", "llm", "reward_model")
LANGUAGE_MODEL = "simulated language model"


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Demos:
    return run_both(tmp_path_factory.mktemp("demos"))


def test_a_demo_that_is_stopped_or_killed_leaves_no_process_and_goes_on_later(demos: Demos) -> None:
    assert demos.codes_when_stopped == {signal.SIGINT: 0, signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}
    assert demos.codes == (0, 0)
    assert Records(demos.disturbed).rows("SELECT COUNT(*) FROM rlhf_project") == [(1,)]


def test_a_demo_whose_parts_are_killed_ends_like_one_left_alone(demos: Demos) -> None:
    expected, found = Records(demos.alone), Records(demos.disturbed)
    assert {"v0", "v1", "v2", "rm1", "rm2", "bon1", "bon2", "value1", "value2"} < set(expected.weights())
    assert found.weights() == expected.weights()
    # Each plan key is one run, which has succeeded; what counts of it are the rows of one attempt.
    assert set(found.states().values()) == {"succeeded"}
    assert steps(found) == steps(expected) >= {"sft", "reward/1", "ppo/1", "reward/2", "ppo/2"}
    assert found.attempts()["ppo/1"] > 1 and found.attempts()["reward/2"] > 1
    assert any(number > 1 for name, number in found.attempts().items() if name.endswith("/configured"))
    for table in ("rlhf_completion", "rlhf_verdict"):
        assert found.outputs(table) == expected.outputs(table) != {}
    # Every task has exactly the answers that it asked for, and they are those of the undisturbed demo.
    tasks = found.tasks()
    assert tasks == expected.tasks()
    assert all(state == "done" and overlap == counted == stored for *_, state, overlap, counted, stored in tasks)
    assert found.answers() == expected.answers()
    # And so are the numbers of every judge, on the last overview.
    shown = show(demos.disturbed)
    assert shown["is_quiet"] and shown["cells"] == show(demos.alone)["cells"]
    points = {(point["version"], point["kind"]) for point in shown["points"]}
    assert points == {(version, kind) for version in ("v1", "v2") for kind in KINDS}
    assert all(point["low"] < point["win_rate"] < point["high"] for point in shown["points"])


def steps(records: Records) -> set[str]:
    """Plan keys, without the estimates: how often the first ones are made depends on how fast people compare."""
    return {key for key in records.states() if not key.startswith(("freeze/verdicts/", "estimate/", "overview/"))}


@pytest.fixture
def demo(demos: Demos) -> Iterator[Command]:
    """Two rounds are over, and the next one's tasks wait for people: nothing moves by itself any more."""
    var = demos.alone
    with Command(*DEMO, var=var, HONE_RUN_STALE_S=STALE_S) as command:
        wait_for(lambda: "Serving on" in command.said() or command.process.poll() is not None, "the demo", LONG_S)
        assert command.process.poll() is None, command.said()
        wait_for(lambda: Records(var).rows("SELECT 1 FROM annotate_task WHERE iteration = 3"), "the next tasks", LONG_S)
        quiet(command)
        yield command
        os.kill(command.process.pid, signal.SIGINT)
        assert command.wait(60.0) == 0, command.said()
        wait_for(lambda: processes(var) == [], "the end of every process", 10.0)


def quiet(demo: Command, until: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
    """What the demo shows once nothing is at work and this is so."""
    deadline = time.monotonic() + LONG_S
    found: dict[str, Any] = {}
    while time.monotonic() < deadline:
        if not Records(demo.var).rows("SELECT 1 FROM rlhf_run WHERE state IN ('queued', 'running')"):
            found = show(demo.var)  # dear: it starts Django
            assert found["failed"] == []
            if found["is_quiet"] and until(found):
                return found
        time.sleep(0.5)
    raise AssertionError(found)


def register(demo: Command, name: str, server: ReplyServer) -> None:
    url = f"http://127.0.0.1:{demo.port}/api/v1/projects/demo/versions"
    body = {"name": name, "endpoint": {"base_url": server.url, "model": "rival"}}
    headers = {"Authorization": f"Token {json.loads(outside(demo.var, 'token'))}"}
    registered = httpx.post(url, json=body, headers=headers, trust_env=False)
    assert registered.status_code == 201, registered.text


def says(body: dict[str, Any], _: int) -> tuple[int, str]:
    """A rival that is polite, and whose answers differ from prompt to prompt."""
    prompt = body["messages"][-1]["content"]
    words = sorted(prompt.split(), key=lambda word: hashlib.sha256((prompt + word).encode()).digest())
    return 200, f"Thank you, here is the {' '.join(words[:6])}."


def of(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The cells of a version, without its name."""
    return [{**cell, "candidate": ""} for cell in found["cells"] if cell["candidate"] == name]


def test_a_rival_is_judged_without_a_click_and_a_killed_worker_changes_no_number(
    demo: Command,
    replying: Callable[[Reply], ReplyServer],  # noqa: F811
) -> None:
    for judge in ("people", "gold score of the demo", LANGUAGE_MODEL, "reward model rm2"):
        assert judge in demo.said()  # the demo's own table
    server = replying(says)
    register(demo, "alone", server)
    everybody = {LANGUAGE_MODEL, "reward model rm1", "reward model rm2"}
    expected = quiet(demo, lambda found: {cell["judge"] for cell in of(found, "alone")} >= everybody)
    assert server.asked  # it has answered, and so has the version that it is compared with
    held_out = [cell for cell in of(expected, "alone") if cell["split"] == "held_out"]
    (num_prompts,) = {cell["num_prompts"] for cell in held_out}
    assert num_prompts > 12
    tasks = [task for task in expected["tasks"] if task[3] == "alone"]
    assert len(tasks) == 12 and {(task[0], task[2]) for task in tasks} == {("compare", "open")}

    with silent_model(demo.var) as model:
        register(demo, "disturbed", server)
        killed = kill_in_the_middle(demo.var, model, LONG_S)
    found = quiet(demo, lambda found: len(of(found, "disturbed")) == len(of(expected, "alone")))

    assert of(found, "disturbed") == of(expected, "alone")
    assert of(found, "alone") == of(expected, "alone")
    attempts = {run["pk"]: run["attempt"] for run in found["judged"]}
    assert attempts[killed] > 1
    assert found["points"] == expected["points"]
