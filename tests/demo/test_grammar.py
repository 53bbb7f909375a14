"""The grammar's promises: distinct prompts, order-independent draws, answers about what was asked."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

from annotate.management.demo import gold, grammar, lexicon

ROOT = Path(__file__).resolve().parents[2]


def test_all_prompts_below_the_limit_are_distinct() -> None:
    texts = {grammar.request(seed=0, index=index).text for index in range(0, grammar.NUM_PROMPTS)}
    assert len(texts) == grammar.NUM_PROMPTS > 20_000


def test_an_index_past_the_limit_is_refused_by_name() -> None:
    with pytest.raises(IndexError, match=str(grammar.NUM_PROMPTS)):
        grammar.request(seed=0, index=grammar.NUM_PROMPTS)


def test_every_kind_of_prompt_comes_up_equally_often() -> None:
    kinds = [grammar.request(seed=3, index=index).kind for index in range(600)]
    assert {kind: kinds.count(kind) for kind in lexicon.KINDS} == dict.fromkeys(lexicon.KINDS, 100)


def test_a_prompt_is_understood_again_from_its_words_alone() -> None:
    for index in range(1_000):
        request = grammar.request(seed=1, index=index)
        assert grammar.parse(f" {request.text} ") == request
    assert grammar.parse("Write a sonnet about tax law.") is None


def test_another_seed_gives_other_prompts() -> None:
    first, second = ([grammar.request(seed=seed, index=index).text for index in range(300)] for seed in (0, 1))
    assert len(set(first) & set(second)) < 30


def test_another_process_with_another_hash_seed_writes_the_same_world() -> None:
    script = (
        "from annotate.management.demo import grammar\n"
        "r = grammar.request(seed=5, index=77)\n"
        "print(r.text, grammar.demonstration(r, key=(1, 2)), grammar.corpus_example(seed=5, index=9))"
    )
    command = [sys.executable, "-c", script]
    first, second = (
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, check=True, text=True
        ).stdout
        for salt in ("1", "2")
    )
    assert first == second and len(first.split()) > 20


def test_most_demonstrations_say_the_slot_words_and_some_do_not() -> None:
    requests = [grammar.request(seed=0, index=index) for index in range(600)]
    relevance = [gold.parts(r.text, grammar.demonstration(r, key=(0,))).relevance for r in requests]
    assert 0.6 < mean(value >= 1.99 for value in relevance) < 0.9


def test_a_demonstration_answers_a_question_with_the_known_fact() -> None:
    manner = grammar.Manner(0, 0, 0, 0, 0)
    request = grammar.parse("Tell Anna at the farm the capital of Peru.")
    assert request is not None and request.fact == "Lima"
    assert "Lima" in grammar.answer(request, manner=manner, draws=grammar.Draws("any"))


def test_the_corpus_holds_every_quality() -> None:
    examples = [grammar.corpus_example(seed=0, index=index) for index in range(2_000)]
    scores = [gold.score(request.text, text) for request, text in examples]
    lengths = [len(text.split()) for _, text in examples]
    assert min(scores) < -1 and max(scores) > 4.5
    assert min(lengths) <= 5 and max(lengths) > 40
    assert 10 < mean(lengths) < 30


def test_groups_of_words_that_the_gold_score_counts_do_not_overlap() -> None:
    slots = [word.lower() for words in lexicon.SLOTS.values() for word in words]
    facts = [word.lower() for words in lexicon.FACTS.values() for word in words.values()]
    counted = [*slots, *facts, *lexicon.POLITE_WORDS, *lexicon.RUDE_WORDS]
    assert len(counted) == len(set(counted))
    sentences = [sentence for some in lexicon.DETAILS.values() for sentence in some]
    details = " ".join(sentences).lower().replace(".", "").split()
    assert not set(details) & set(counted)
