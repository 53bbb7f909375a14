"""What a setting may be, and the one sentence that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment, database

ANYWHERE = Path("hone.sqlite3")


def postgres(query: str) -> dict[str, Any]:
    return database(f"postgresql://ada:p%40ss@db.example.org:6432/hone{query}", ANYWHERE)


def test_a_url_names_the_server_and_its_options() -> None:
    found = postgres("?sslmode=require")

    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example.org", 6432, "hone")
    assert (found["USER"], found["PASSWORD"]) == ("ada", "p@ss")
    assert found["OPTIONS"]["sslmode"] == "require"


def test_statements_are_prepared_unless_a_pooler_can_not_hand_them_on() -> None:
    assert postgres("")["OPTIONS"] == {"server_side_binding": True, "prepare_threshold": 5}
    assert postgres("?prepare_threshold=2")["OPTIONS"] == {"server_side_binding": True, "prepare_threshold": 2}
    assert postgres("?prepare_threshold=off")["OPTIONS"] == {"prepare_threshold": None}


@pytest.mark.parametrize("wrong", ["?prepare_threshold=no", "?prepare_threshold=-1"])
def test_another_threshold_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"prepare_threshold: expected .* found '{wrong.split('=')[1]}'"):
        postgres(wrong)


@pytest.mark.parametrize(
    ("url", "says"),
    [("mysql://db/hone", "found scheme 'mysql'"), ("postgresql://ada:secret@db:port/hone", "found 'db:port'")],
)
def test_a_wrong_address_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as refused:
        database(url, ANYWHERE)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("wrong", ["", "0", "-1", "nan", "soon"])
def test_seconds_are_above_zero(wrong: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="HONE_RUN_STALE_S: expected a number of seconds above 0"):
        Environment({"HONE_RUN_STALE_S": wrong}).seconds("HONE_RUN_STALE_S", 15)


def test_a_setting_that_nobody_reads_is_refused_by_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown setting HONE_DEVISE"):
        Environment({"HONE_DEVISE": "cuda"}).refuse_unknown()
