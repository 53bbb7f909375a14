"""Verifiers see the visible part alone, and say right or wrong for good reasons."""

from __future__ import annotations

import time

import pytest

from rlhf.learning import verifiers
from rlhf.learning.verifiers import SlowPattern, is_right, last_number, problem, visible


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", 42),
        ("1,234,567.5 apples", 1234567.5),
        ("-3", -3),
        ("first 5, then 7", 7),
        ("about 2e-3 of it", 0.002),
        (".5", 0.5),
        ("3 - 1 = 2", 2),
        ("in 1,2 and 3", 3),
        ("none at all", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("verifier", "completion", "answer", "right"),
    [
        ("exact", " Paris\n", "Paris", True),
        ("exact", "Paris.", "Paris", False),
        ("number", "So we get 1,000", "1000.0", True),
        ("number", "So we get 1000, or 999", "1000", False),
        ("number", "no idea", "1", False),
        ("regex", "Therefore: (B)", r"\(B\)\s*$", True),
        ("regex", "(B) or (C)", r"\(B\)\s*$", False),
    ],
)
def test_right_and_wrong(verifier: str, completion: str, answer: str, right: bool) -> None:
    assert is_right(verifier, completion, answer) is right


def test_the_thinking_part_is_cut_off_and_what_never_ends_thinking_shows_nothing() -> None:
    assert visible("perhaps 5 ... </think> It is 7. ", "</think>") == "It is 7."
    assert visible("a </think> b </think> c", "</think>") == "c"
    assert visible("perhaps 7", "</think>") == ""
    assert visible("perhaps 7", None) == "perhaps 7"


def test_an_answer_that_nothing_can_be_compared_with_is_a_problem() -> None:
    assert problem("number", "seven") == "a number"
    assert problem("exact", " ") == "a text"
    assert (problem("regex", "(") or "").startswith("a regular expression (")
    assert [problem("number", "7"), problem("exact", "x"), problem("regex", "x+")] == [None] * 3


def test_a_pattern_that_backtracks_without_end_is_named_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiers, "PATTERN_TIMEOUT_S", 0.05)
    started = time.process_time()
    with pytest.raises(SlowPattern, match=r"regular expression '\(a\|aa\)\+\$' in 0.05 s on a completion of 101 char"):
        is_right("regex", "a" * 100 + "b", "(a|aa)+$")
    assert time.process_time() - started < 2
    assert is_right("regex", "a" * 100, "(a|aa)+$")


@pytest.mark.parametrize(
    ("verifier", "answer", "right", "wrong"),
    [
        ("exact", "7", "<think>No, 8? Or 7.</think>\n7", "<think>7</think> 8"),
        ("number", "7", "<think>It can't be 8.</think> The answer is 7.", "<think>It is 7.</think> The answer is 8."),
        ("regex", r"\b7\b", "<think>8</think> So 7 it is", "<think>So 7 it is</think> 8"),
    ],
)
def test_what_is_thought_is_neither_right_nor_wrong(verifier: str, answer: str, right: str, wrong: str) -> None:
    assert is_right(verifier, visible(right, "</think>"), answer)
    assert not is_right(verifier, visible(wrong, "</think>"), answer)
    assert not is_right(verifier, visible(right.replace("</think>", ""), "</think>"), answer)  # never came to an answer
