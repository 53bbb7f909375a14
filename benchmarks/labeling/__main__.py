"""What a labeler's round trip costs the server: `python -m benchmarks.labeling [--quick]`.

For SQLite and PostgreSQL, and for pools of 1,000, 100,000 and 1,000,000 open tasks: a server as in production
(gunicorn, two processes of eight threads) over a new database, driven over HTTP with a session and its CSRF token, as
the page does it. A cycle is one submit: it stores the answer, makes the prefetched task the person's own and brings
another one. CPU is that of the server's whole process tree; the database's own is shown beside it. `next` is the first
task of people who just came. The veteran has seen nine tenths of the pool. Clients run on the same machine.

Each is measured in ROUNDS rounds, turn about, because a shared machine is at times half as fast as a moment before; the
yardstick, a fixed loop that is timed before each of them, shows it. Medians, and in brackets the best round.

Prints a table, and writes it with all numbers to benchmarks/results/labeling.{md,json}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rich.console import Console

from benchmarks.labeling import clients, report
from tests import services

SIZES = (1_000, 100_000, 1_000_000)
NUM_LABELERS = 20
NUM_NEWCOMERS = 60
WARM_UP = 20  # cycles that are not measured
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cycles: within ten minutes")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="open tasks")
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent.parent / "results")
    asked = parser.parse_args()
    num_cycles = (40, 6) if asked.quick else (120, 20)  # of one round
    console, started, found = Console(), time.monotonic(), []
    load = os.getloadavg()[0]
    for database in asked.databases:
        for size in asked.sizes:
            with (
                console.status(f"{database}: a pool of {size:,} tasks"),
                _server(database, size) as (url, sessions, pids),
            ):
                found.append({"database": database, "tasks": size, **measure(url, sessions, pids, size, *num_cycles)})
            console.print(report.line(found[-1]))
    about = report.about(load=load, seconds=time.monotonic() - started, num_cycles=num_cycles)
    console.print(report.table(found))
    report.write(folder=asked.results, about=about, found=found)


def measure(
    url: str, sessions: list[str], pids: dict[str, int], num_tasks: int, num_alone: int, num_each: int
) -> dict[str, Any]:
    newcomers, (one, *crowd), veteran = sessions[:NUM_NEWCOMERS], sessions[NUM_NEWCOMERS:-1], sessions[-1]
    first = [clients.Labeler(url, session) for session in newcomers]
    for labeler in first:
        labeler.next()
    who = {"alone": [one], "veteran": [veteran], "crowd": crowd}
    labelers = {name: _begun(url, of_them) for name, of_them in who.items()}
    of_veteran = min(num_alone, (num_tasks // 10 - 2 * WARM_UP) // ROUNDS)
    num_cycles = {"alone": num_alone, "veteran": of_veteran, "crowd": num_each}
    rounds = [
        {name: _measured(labelers[name], pids, num_cycles[name]) for name in who} for _ in range(ROUNDS)
    ]  # turn about
    return {
        "next": report.quantiles([labeler.seconds["next"][0] for labeler in first[5:]]),
        **{name: report.summary([found[name] for found in rounds]) for name in who},
    }


def _begun(url: str, sessions: list[str]) -> list[clients.Labeler]:
    labelers = [clients.Labeler(url, session) for session in sessions]
    clients.begin(labelers)
    clients.work(labelers, max(1, WARM_UP // len(labelers)))
    return labelers


def _measured(labelers: list[clients.Labeler], pids: dict[str, int], num_cycles: int) -> dict[str, Any]:
    for labeler in labelers:
        labeler.seconds["submit"].clear()
    yardstick = report.yardstick_ms()
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    wall = clients.work(labelers, num_cycles)
    spent = {name: _cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    seconds = [second for labeler in labelers for second in labeler.seconds["submit"]]
    return {
        "seconds": seconds,
        "yardstick_ms": yardstick,
        "cycles_per_s": len(seconds) / wall,
        **{f"{name}_cpu_ms": 1e3 * value / len(seconds) for name, value in spent.items()},
    }


@contextlib.contextmanager
def _server(database: str, size: int) -> Iterator[tuple[str, list[str], dict[str, int]]]:
    """The server's URL, the labelers' sessions, and the processes whose trees are measured."""
    with contextlib.ExitStack() as stack:
        var = stack.enter_context(tempfile.TemporaryDirectory(prefix="hone-labeling-"))
        pids, url = {}, ""
        if database == "postgresql":
            url = stack.enter_context(services.postgres())
            pids["database"] = _postmaster(url)
        environment = {**os.environ, "HONE_VAR": var, "DATABASE_URL": url}
        made = _run(environment, str(size), str(NUM_NEWCOMERS + 1 + NUM_LABELERS + 1))
        log = Path(var) / "gunicorn.log"
        pids["server"] = stack.enter_context(_gunicorn(environment, log))
        yield _address(log), made, pids
        if duplicates := _run(environment, "duplicates"):
            raise SystemExit(f"{database}, {size:,} tasks: expected no duplicates, found {duplicates}")


@contextlib.contextmanager
def _gunicorn(environment: dict[str, str], log: Path) -> Iterator[int]:
    options = ["--bind", "127.0.0.1:0", "--workers", "2", "--threads", "8", "--worker-class", "gthread"]
    command = [sys.executable, "-m", "gunicorn", "config.wsgi", *options, "--keep-alive", "60"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield server.pid
    finally:
        server.terminate()
        server.wait(30)


def _address(log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = log.read_text()
        found = re.search(r"Listening at: (http://127\.0\.0\.1:\d+)", text)
        if found and text.count("Booting worker") == 2:
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"gunicorn did not start:\n{log.read_text()[-2_000:]}")


def _run(environment: dict[str, str], *arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.labeling.pool", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _postmaster(url: str) -> int:
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def _cpu_seconds(pid: int) -> float:
    """Of a process, of its children, and of those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_cpu_seconds(int(child)) for child in children)


if __name__ == "__main__":
    main()
