"""What a demo left in its SQLite file, read from outside, and without ids that may differ between two runs."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

IDENTITY = re.compile(r"(?<=/)[0-9a-f]{16}$")  # of a judge behind a server, at the end of a plan key: it holds a port


def key(plan_key: str) -> str:
    return IDENTITY.sub("configured", plan_key)


class Records:
    def __init__(self, var: Path) -> None:
        self.var = var

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """No rows while the tables are not there yet."""
        path = self.var / "hone.sqlite3"
        if not path.exists():
            return []
        connection = sqlite3.connect(path, timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def running(self, kind: str, iteration: int) -> tuple[int, int] | None:
        """Run id and attempt of the running run of this kind."""
        query = "SELECT id, attempt FROM rlhf_run WHERE kind = ? AND iteration = ? AND state = 'running'"
        found = self.rows(query, kind, iteration)
        return found[0] if found else None

    def step(self, run: tuple[int, int] | None) -> tuple[int, int]:
        """Step and total steps that a run has logged in its folder; zeros before the first line."""
        path = self.var / "runs" / str(run[0]) / str(run[1]) / "metrics.jsonl" if run else None
        lines = path.read_text().split("\n")[:-1] if path and path.exists() else []
        last = json.loads(lines[-1]) if lines else {"step": 0, "total_steps": 0}
        return last["step"], last["total_steps"]

    def is_half_done(self, kind: str, iteration: int) -> bool:
        step, total = self.step(self.running(kind, iteration))
        return 0 < total / 3 <= step < total - 1

    def weights(self) -> dict[str, str]:
        return dict(self.rows("SELECT name, weights_sha256 FROM rlhf_modelversion ORDER BY name"))

    def states(self) -> dict[str, str]:
        return {key(name): state for name, state in self.rows("SELECT plan_key, state FROM rlhf_run ORDER BY 1")}

    def attempts(self) -> dict[str, int]:
        return {key(name): number for name, number in self.rows("SELECT plan_key, attempt FROM rlhf_run ORDER BY 1")}

    def outputs(self, table: str) -> dict[str, int]:
        """Rows of each run's winning attempt."""
        query = f"""SELECT plan_key, COUNT(*) FROM {table} JOIN rlhf_run run ON run.id = run_id
            WHERE {table}.attempt = run.attempt AND run.state = 'succeeded' GROUP BY plan_key"""  # noqa: S608
        return {key(name): number for name, number in self.rows(query)}

    def tasks(self) -> list[tuple[Any, ...]]:
        query = """SELECT batch, prompt.sha256, task.state, overlap, num_submitted,
            (SELECT COUNT(*) FROM annotate_submission submission JOIN annotate_assignment assignment
             ON assignment.id = submission.assignment_id WHERE assignment.task_id = task.id)
            FROM annotate_task task JOIN rlhf_prompt prompt ON prompt.id = task.prompt_id ORDER BY 1, 2"""
        return self.rows(query)

    def answers(self) -> list[tuple[Any, ...]]:
        """Every answer that counts, by its prompt: what was written, how it was ranked."""
        written = """SELECT prompt.sha256, text FROM annotate_demonstration answer
            JOIN rlhf_prompt prompt ON prompt.id = prompt_id WHERE counts ORDER BY 1, 2"""
        ranked = """SELECT task.batch, prompt.sha256, ranks FROM annotate_ranking answer
            JOIN annotate_task task ON task.id = task_id JOIN rlhf_prompt prompt ON prompt.id = answer.prompt_id
            WHERE counts ORDER BY 1, 2"""
        return [*self.rows(written), *self.rows(ranked)]
