"""What an answer must contain: everything that the published protocols ask, and nothing that nobody asked for."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import answers
from annotate.answers import KEYS, BadAnswer, Sheet
from annotate.questions import Choice, Questions

TEXTS = dict.fromkeys(KEYS, "as shown")


def choices(*names: str) -> tuple[Choice, ...]:
    return tuple(Choice(name, {"en": name}) for name in names)


def sheet(num_shown: int = 2, **asks: Any) -> Sheet:
    asked: dict[str, Any] = {
        "kind": "rank", "num_completions": max(num_shown, 2), "allow_ties": True, "allow_all_bad": False,
        "strength": "", "rate_completions": False, "flags": (), "aspects": (), "ask_pair_safety": False,
        "reason_min_characters": None, "edit_best": False, "categories": (), "skip_reasons": (), "guidelines": "",
        "guideline_translations": {}, "content_warning": "", "guideline_revision": 1,
    }  # fmt: skip
    return Sheet(Questions(**{**asked, **asks}), KEYS[:num_shown], TEXTS.__getitem__)


INSTRUCT = {"rate_completions": True, "flags": choices("rude", "wrong")}
LLAMA = {"allow_ties": False, "strength": "four", "ask_pair_safety": True}
STEER = {"strength": "seven", "reason_min_characters": 10}
ARENA = {"allow_all_bad": True}
RANKS = {"a": 1, "b": 2}
TIE = {"a": 1, "b": 1}
REASON = "B is wrong about it"


@pytest.mark.parametrize(
    ("asks", "said", "stored"),
    [
        ({}, {"ranks": RANKS}, {"ranks": RANKS}),
        ({}, {"ranks": RANKS, "strength": None, "edited": None}, {"ranks": RANKS}),
        (LLAMA, {"ranks": RANKS, "strength": 4, "safety": "chosen"}, None),
        ({**LLAMA, "allow_ties": True}, {"ranks": TIE, "safety": "both"}, None),
        (STEER, {"ranks": TIE, "strength": 0, "reason": REASON}, None),
        (STEER, {"ranks": TIE, "reason": REASON}, {"ranks": TIE, "strength": 0, "reason": REASON}),
        (ARENA, {"ranks": TIE, "all_bad": True}, None),
        (ARENA, {"ranks": TIE, "all_bad": False}, {"ranks": TIE}),
        ({**ARENA, "allow_ties": False}, {"ranks": TIE, "all_bad": True}, None),
        (
            INSTRUCT,
            {"ranks": RANKS, "ratings": {"a": 7, "b": 1}, "flags": {"a": ["wrong", "rude", "rude"], "b": []}},
            {"ranks": RANKS, "ratings": {"a": 7, "b": 1}, "flags": {"a": ["rude", "wrong"], "b": []}},
        ),
        ({"aspects": choices("kind", "true")}, {"ranks": RANKS, "aspects": {"kind": TIE, "true": RANKS}}, None),
        ({"edit_best": True}, {"ranks": RANKS, "edited": {"key": "a", "text": "better"}}, None),
        ({"reason_min_characters": 0}, {"ranks": RANKS, "reason": " "}, {"ranks": RANKS}),
        ({"categories": choices("poem")}, {"ranks": RANKS, "category": "poem"}, None),
    ],
)
def test_what_a_protocol_asks_is_taken_and_stored(asks: dict, said: dict, stored: dict | None) -> None:
    assert answers.checked(sheet=sheet(**asks), given=said) == (said if stored is None else stored)


@pytest.mark.parametrize(
    ("asks", "said", "field", "message"),
    [
        (LLAMA, {"ranks": RANKS, "safety": "both"}, "strength", "how much better, from 1 to 4, found nothing"),
        (LLAMA, {"ranks": RANKS, "strength": 5, "safety": "both"}, "strength", "found 5"),
        (LLAMA, {"ranks": RANKS, "strength": True, "safety": "both"}, "strength", "found True"),
        (LLAMA, {"ranks": RANKS, "strength": 1}, "safety", "one of chosen, both, neither, found nothing"),
        (LLAMA, {"ranks": TIE, "strength": 1, "safety": "both"}, "ranks", "no ties"),
        ({**LLAMA, "allow_ties": True}, {"ranks": TIE, "strength": 1, "safety": "both"}, "strength", "no strength"),
        ({**LLAMA, "allow_ties": True}, {"ranks": TIE, "safety": "chosen"}, "safety", "one of both, neither"),
        (STEER, {"ranks": RANKS, "strength": 0, "reason": REASON}, "strength", "from 1 to 3, found 0"),
        (STEER, {"ranks": TIE, "strength": 2, "reason": REASON}, "strength", "0 for a tie"),
        (STEER, {"ranks": RANKS, "strength": 2}, "reason", "at least 10 characters, found 0"),
        (STEER, {"ranks": RANKS, "strength": 2, "reason": "   short   "}, "reason", "found 5"),
        (STEER, {"ranks": RANKS, "strength": 2, "reason": "x" * 10_001}, "reason", "at most 10,000"),
        ({}, {"ranks": RANKS, "all_bad": True}, "all_bad", "does not ask"),
        (ARENA, {"ranks": RANKS, "all_bad": True}, "ranks", "equal ranks"),
        (ARENA, {"ranks": TIE, "all_bad": 1}, "all_bad", "true or false"),
        (INSTRUCT, {"ranks": RANKS, "flags": {"a": [], "b": []}}, "ratings", "a rating for each of a, b"),
        (INSTRUCT, {"ranks": RANKS, "ratings": {"a": 0, "b": 1}}, "ratings", "from 1 to 7, found 0 for a"),
        (INSTRUCT, {"ranks": RANKS, "ratings": {"a": 8, "b": 1}}, "ratings", "found 8"),
        (INSTRUCT, {"ranks": RANKS, "ratings": {"a": 1, "b": 1}, "flags": {"a": []}}, "flags", "a list for each"),
        (
            INSTRUCT,
            {"ranks": RANKS, "ratings": {"a": 1, "b": 1}, "flags": {"a": ["odd"], "b": []}},
            "flags",
            "one of rude, wrong, found 'odd'",
        ),
        ({}, {"ranks": {"a": 1, "b": 3}}, "ranks", "from 1 to 2, found 3 for b"),
        ({}, {"ranks": {"a": 2, "b": 2}}, "ranks", "without gaps"),
        ({}, {}, "ranks", "a rank for each of a, b"),
        ({}, {"ranks": RANKS, "text": "x"}, "text", "does not ask"),
        ({"aspects": choices("kind")}, {"ranks": RANKS, "aspects": {}}, "aspects", "each of kind"),
        ({"aspects": choices("kind")}, {"ranks": RANKS, "aspects": {"kind": {"a": 1}}}, "aspects", "a rank for each"),
        ({"edit_best": True}, {"ranks": RANKS, "edited": {"key": "b", "text": "x"}}, "edited", "one of a, found 'b'"),
        ({"edit_best": True}, {"ranks": RANKS, "edited": {"key": "a", "text": "as shown "}}, "edited", "the same"),
        ({"edit_best": True}, {"ranks": RANKS, "edited": {"key": "a", "text": " "}}, "edited", "nothing in it"),
        ({"edit_best": True}, {"ranks": RANKS, "edited": {"key": "a"}}, "edited", '"key", "text"'),
        ({"categories": choices("poem")}, {"ranks": RANKS, "category": "prose"}, "category", "one of poem"),
        ({"kind": "demonstrate"}, {"text": "a\0b"}, "text", "NUL"),
        ({"kind": "demonstrate"}, {"text": "a\ud800b"}, "text", "surrogate"),
        ({"kind": "demonstrate"}, {"text": "x" * 100_001}, "text", "at most 100,000"),
        ({"kind": "prompt"}, {"text": "\n"}, "text", "nothing in it"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_its_field(
    asks: dict, said: dict, field: str, message: str
) -> None:
    num_shown = 0 if asks.get("kind") in ("demonstrate", "prompt") else 2
    with pytest.raises(BadAnswer, match=message) as refused:
        answers.checked(sheet=sheet(num_shown, **asks), given=said)
    assert refused.value.extra["field"] == field


def test_strength_and_safety_are_asked_of_two_answers_only() -> None:
    four = sheet(4, strength="four", ask_pair_safety=True, aspects=choices("kind"))
    assert answers.checked(sheet=four, given={"ranks": {"a": 4, "b": 1, "c": 2, "d": 2}}) == {
        "ranks": {"a": 3, "b": 1, "c": 2, "d": 2}
    }


@given(st.lists(st.integers(0, 8), min_size=2, max_size=9))
def test_every_order_of_up_to_nine_answers_is_stored_dense_whichever_way_it_is_counted(places: list[int]) -> None:
    keys = KEYS[: len(places)]
    competition = {key: 1 + sum(other < place for other in places) for key, place in zip(keys, places, strict=True)}
    levels = sorted(set(places))
    dense = {key: levels.index(place) + 1 for key, place in zip(keys, places, strict=True)}

    stored = [
        answers.checked(sheet=sheet(len(places)), given={"ranks": ranks})["ranks"] for ranks in (competition, dense)
    ]

    assert stored == [dense, dense]
    for one, other in itertools.combinations(range(len(places)), 2):
        assert (places[one] < places[other]) == (dense[keys[one]] < dense[keys[other]])


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # halves of surrogate pairs included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
PLAUSIBLE = {
    "ranks": st.dictionaries(st.sampled_from("abcz"), st.integers(0, 4), max_size=4),
    "strength": st.integers(-1, 5),
    "ratings": st.dictionaries(st.sampled_from("abc"), st.integers(0, 8), max_size=3),
    "flags": st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from(["rude", "wrong", "odd"])), max_size=3),
    "safety": st.sampled_from(["chosen", "both", "neither", "all"]),
    "reason": st.text(max_size=20),
    "edited": st.fixed_dictionaries({"key": st.sampled_from("abc"), "text": st.text(max_size=9)}),
    "all_bad": st.booleans(),
}
EVERYTHING = {**INSTRUCT, **STEER, **ARENA, "edit_best": True, "ask_pair_safety": True, "aspects": choices("kind")}
SHEETS = [
    sheet(2), sheet(3, **INSTRUCT), sheet(2, **LLAMA), sheet(2, **STEER), sheet(2, **ARENA), sheet(2, **EVERYTHING),
    sheet(0, kind="demonstrate"), sheet(0, kind="prompt", categories=choices("poem")),
]  # fmt: skip


@settings(max_examples=400)
@given(
    st.sampled_from(SHEETS),
    st.one_of(
        st.dictionaries(st.sampled_from(sorted(answers.CHECKS)) | ANY_TEXT, JSON),
        st.fixed_dictionaries({}, optional=PLAUSIBLE),
    ),
)
def test_whatever_comes_is_stored_in_one_form_or_refused_in_words_that_can_be_sent(asked: Sheet, said: dict) -> None:
    try:
        body = answers.checked(sheet=asked, given=said)
    except BadAnswer as error:
        assert error.extra["field"] and error.message.encode()
        return
    assert answers.checked(sheet=asked, given=body) == body
    assert set(body) <= asked.fields
    sent = json.dumps(body, allow_nan=False, ensure_ascii=False)
    assert "\0" not in sent and sent.encode() and len(sent) < 1_000_000
