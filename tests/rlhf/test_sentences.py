"""The overview's first sentence says only what is settled."""

import pytest

from rlhf.overview.document import Document
from rlhf.overview.sentences import verdict
from tests.rlhf.documents import PEOPLE, V0, V1, cell, document, judge, version

NOT_ENOUGH = "Not enough prompts to tell v1 from v0"
REWARD = judge(2, "reward model rm1", "reward_model", trained=[2])


def said(cells, judges=(PEOPLE, REWARD), **pieces):
    content = document(versions=[V0, V1], judges=list(judges), cells=cells, **pieces)
    return verdict(Document(content, "0" * 64))


def link(verdict_, p=0.01, p_holm=0.02):
    pair = {"evaluation": 1, "candidate": 2, "baseline": 1}
    return {"judge": 1, **pair, "p": p, "p_holm": p_holm, "verdict": verdict_}


@pytest.mark.parametrize(
    ("asked", "pieces", "text", "tone"),
    [
        ({"low": 0.55, "high": 0.75}, {}, "v1 is better than v0.", "better"),
        ({"low": 0.55, "high": 0.75}, {"chain": [link("better")]}, "v1 is better than v0.", "better"),
        ({"low": 0.2, "high": 0.45}, {}, "v1 is worse than v0.", "worse"),
        ({"low": 0.2, "high": 0.45}, {"chain": [link("worse")]}, "v1 is worse than v0.", "worse"),
        ({"low": 0.45, "high": 0.6, "needed": 410}, {}, f"{NOT_ENOUGH}: about 310 more.", "open"),
        ({"low": 0.45, "high": 0.6, "needed": 103}, {}, f"{NOT_ENOUGH}: about 3 more.", "open"),
        ({"low": 0.45, "high": 0.6, "needed": 1334}, {}, f"{NOT_ENOUGH}: about 1300 more.", "open"),
        ({"low": 0.45, "high": 0.6, "needed": None}, {}, "v1 and v0 can't be told apart.", "open"),
        ({"low": 0.49, "high": 0.51, "needed": 90_000}, {}, "v1 and v0 can't be told apart.", "open"),
        ({"low": 0.5, "high": 0.7, "needed": 80}, {}, "v1 and v0 can't be told apart.", "open"),
    ],
)  # fmt: skip
def test_the_interval_and_the_chain_decide_what_may_be_said(asked, pieces, text, tone):
    found = said([cell(1, 2, 1, 1, **asked)], **pieces)
    assert (found.text, found.tone) == (text, tone)


def test_what_wins_alone_but_not_in_the_chain_is_not_called_better():
    found = said([cell(1, 2, 1, 1, low=0.51)], chain=[link("open", 0.04, 0.08)])
    assert found.tone == "open"
    assert found.text == "v1 looks better than v0, but that is not settled."
    assert "p is 0.040 alone, and 0.080 by Holm's correction over 1 step." in found.details


def test_the_training_reward_alone_settles_nothing():
    found = said([cell(1, 2, 1, 2, win_rate=0.99, low=0.98, high=1.0)])
    assert found.tone == "open" and found.text == "It is not settled whether v1 is better than v0."
    assert "Only the reward that it was trained on has judged (reward model rm1)" in found.details[0]


def test_a_reward_model_that_was_not_trained_on_may_speak_but_people_speak_first():
    reward = judge(2, "rm of others", "reward_model")
    cells = [cell(1, 2, 1, 2, low=0.9, high=0.95), cell(1, 2, 1, 1, low=0.3, high=0.4)]
    assert said(cells[:1], (PEOPLE, reward)).text == "v1 is better than v0."
    assert said(cells, (PEOPLE, reward)).text == "v1 is worse than v0."


def test_a_reward_that_runs_ahead_is_named_and_few_prompts_are_said():
    reward = cell(1, 2, 1, 2, win_rate=0.8, low=0.75, high=0.85)
    found = said([cell(1, 2, 1, 1, low=0.4, high=0.6, num_prompts=12), reward])
    assert any("runs ahead" in detail for detail in found.details)
    assert any("at least 30 prompts" in detail for detail in found.details)
    found = said([cell(1, 2, 1, 1, low=0.4, high=0.9), reward])
    assert any("is not confirmed" in detail for detail in found.details)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("disconnected", "No ranking by people: the versions are not connected by comparisons (v1 met nobody)."),
        ("sweep", "one side has won everything"),
        ("too_few", "there are too few comparisons"),
    ],
)
def test_a_ranking_that_can_not_be_made_is_refused_in_words(state, words):
    ranking = {"judge": 1, "state": state, "reason": "v1 met nobody.", "tie_parameter": None, "cycle": None,
               "versions": [], "gaps": []}  # fmt: skip
    found = said([cell(1, 2, 1, 1)], rankings=[ranking])
    assert any(words in detail for detail in found.details)


def test_a_circle_is_named():
    ranking = {"judge": 1, "state": "fitted", "reason": "", "tie_parameter": None, "cycle": [1, 2], "versions": [],
               "gaps": []}  # fmt: skip
    found = said([cell(1, 2, 1, 1)], rankings=[ranking])
    assert "By people, v0 beats v1 beats v0: they go round in a circle" in found.details[-1]


def test_what_was_not_compared_is_not_guessed():
    alone = document(versions=[V0], judges=[], cells=[])
    assert verdict(Document(alone, "")).text == "No two versions have been compared yet."
    apart = document(versions=[V0, V1, version(3, "v2", 2)], judges=[PEOPLE], cells=[cell(1, 2, 1, 1)])
    assert verdict(Document(apart, "")).text.startswith("Nothing is known of v2")
    train = said([cell(1, 2, 1, 1, split="train"), cell(1, 2, 1, 1, split="held_out", low=0.4, high=0.6, needed=None)])
    assert train.text == "v1 and v0 can't be told apart."
