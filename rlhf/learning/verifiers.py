"""Whether an answer is right: exact, by its last number, or by a regular expression. Torch-free, pure.

The part before `thinking_end` is hidden: chain-of-thought that nobody is meant to see is never compared or scored.
Patterns are those of the `regex` library, since that of the standard library can't be told to give up.
"""

from __future__ import annotations

import re

import regex

from rlhf.learning.configs import InputError

_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|-?\.\d+(?:[eE][+-]?\d+)?")
PATTERN_TIMEOUT_S = 1.0  # for one answer; a pattern that needs more backtracks without end


class SlowPattern(InputError):
    """A regular expression that came to no result in PATTERN_TIMEOUT_S; right or wrong would be a guess."""


def visible(completion: str, thinking_end: str | None) -> str:
    """What stands behind the last `thinking_end`; nothing where that never came, everything where it is None."""
    if thinking_end is None:
        return completion
    _, found, shown = completion.rpartition(thinking_end)
    return shown.strip() if found else ""


def is_right(verifier: str, completion: str, answer: str) -> bool:
    """Whether a visible completion gives the answer.

    exact: the same text but for white space at both ends. number: its last number has the value of the answer's (commas
    between thousands don't count). regex: the answer is a pattern that is found in it.

    Raises:
        SlowPattern: names the pattern and the length of the completion.
    """
    if verifier == "exact":
        return completion.strip() == answer.strip()
    if verifier == "number":
        found, expected = last_number(completion), last_number(answer)
        return found is not None and expected is not None and abs(found - expected) <= 1e-9 * max(1.0, abs(expected))
    assert verifier == "regex", verifier
    try:
        return regex.search(answer, completion, timeout=PATTERN_TIMEOUT_S) is not None
    except TimeoutError as error:
        raise SlowPattern(
            f"found no result for the regular expression {answer!r} in {PATTERN_TIMEOUT_S} s on a completion of "
            f"{len(completion)} characters, expected a pattern without repetitions inside repetitions"
        ) from error


def last_number(text: str) -> float | None:
    """The value of the last number in a text; None where there is none."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def problem(verifier: str, answer: str) -> str | None:
    """Why an answer can't be verified against, or None."""
    if verifier == "number" and last_number(answer) is None:
        return "a number"
    if verifier == "exact" and not answer.strip():
        return "a text"
    if verifier == "regex":
        try:
            regex.compile(answer)
        except regex.error as error:
            return f"a regular expression ({error})"
        return None if answer else "a regular expression"
    return None
