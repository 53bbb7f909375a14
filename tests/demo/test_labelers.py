"""Simulated labelers: independent of order and process, noisy by a known amount, one of them careless."""

import itertools
from statistics import mean

import pytest

from annotate.management.demo import gold, grammar, labelers
from annotate.management.demo.labelers import CARELESS, LABELERS
from rlhf import render

Task = tuple[str, list[str]]


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    requests = [grammar.request(seed=0, index=index) for index in range(600)]
    return [(r.text, [grammar.demonstration(r, key=(k,)) for k in range(4)]) for r in requests]


def _untied_pairs(seed: int, slot: int, task: Task) -> list[tuple[bool, float, str]]:
    """(label disagrees with gold, probability of a, persona) for each pair with a gold order and a label."""
    prompt, texts = task
    key = labelers.task_key(prompt, texts)
    ranks = labelers.rank(seed, key, slot, prompt, texts)
    scores = [gold.score(prompt, text) for text in texts]
    return [
        ((ranks[a] < ranks[b]) != (scores[a] > scores[b]), labelers.preference(prompt, texts[a], texts[b]),
         labelers.persona(seed, key, slot).name)
        for a, b in itertools.combinations(range(4), 2)
        if ranks[a] != ranks[b] and scores[a] != scores[b]
    ]  # fmt: skip


def test_noise_flips_ten_to_twenty_percent_of_the_pairs(tasks: list[Task]) -> None:
    for seed in (0, 1, 2):
        flips = [flip for task in tasks for flip, *_ in _untied_pairs(seed, 0, task)]
        assert 0.10 < mean(flips) < 0.20


def test_the_known_probabilities_predict_the_flips(tasks: list[Task]) -> None:
    pairs = [pair for seed in range(4) for task in tasks for pair in _untied_pairs(seed, 1, task)]
    assert mean(flip for flip, *_ in pairs) == pytest.approx(1 - mean(max(p, 1 - p) for _, p, _ in pairs), abs=0.01)


def test_the_careless_labeler_is_worse_than_every_other(tasks: list[Task]) -> None:
    flips: dict[str, list[bool]] = {labeler.name: [] for labeler in LABELERS}
    for seed, task in itertools.product(range(4), tasks):
        for flip, _, name in _untied_pairs(seed, 0, task):
            flips[name].append(flip)
    rates = {name: mean(values) for name, values in flips.items()}
    careless = rates.pop(CARELESS.name)
    assert len(rates) == 11 and careless > 0.25 > max(rates.values())


def test_ranks_do_not_depend_on_the_order_shown_or_on_white_space(tasks: list[Task]) -> None:
    for prompt, texts in tasks[:100]:
        shown = [texts[2], f" {texts[0]}\n", texts[3], texts[1]]
        key, other = labelers.task_key(prompt, texts), labelers.task_key(prompt, shown)
        ranks = labelers.rank(0, key, 1, prompt, texts)
        assert key == other
        assert labelers.rank(0, other, 1, prompt, shown) == [ranks[2], ranks[0], ranks[3], ranks[1]]


def test_equal_completions_tie_and_ranks_are_competition_ranks(tasks: list[Task]) -> None:
    for prompt, texts in tasks[:100]:
        shown = [texts[0], texts[1], texts[0]]
        ranks = labelers.rank(0, labelers.task_key(prompt, shown), 0, prompt, shown)
        assert ranks[0] == ranks[2]
        assert sorted(ranks) in ([1, 1, 1], [1, 1, 3], [1, 2, 2])


def test_two_slots_of_a_task_are_answered_independently(tasks: list[Task]) -> None:
    keys = [labelers.task_key(prompt, texts) for prompt, texts in tasks]
    orders = [[labelers.rank(0, key, slot, *task) for key, task in zip(keys, tasks, strict=True)] for slot in (0, 1)]
    assert orders[0] != orders[1]


def test_comparing_is_ranking_two(tasks: list[Task]) -> None:
    answers = set()
    for prompt, (a, b, *_) in tasks[:200]:
        key = labelers.task_key(prompt, [a, b])
        answer, swapped = labelers.compare(0, key, 0, prompt, a, b), labelers.compare(0, key, 0, prompt, b, a)
        assert swapped == {"a": "b", "b": "a", "tie": "tie"}[answer]
        answers.add(answer)
    assert answers == {"a", "b", "tie"}


@pytest.mark.parametrize("difference", [-6.0, -0.4, 0.0, 0.1, 2.0])
def test_outcomes_are_probabilities_and_leave_room_for_ties(difference: float) -> None:
    for labeler in LABELERS:
        above, below = labelers.outcome(labeler, difference)
        assert 0 <= above <= 1 and 0 <= below <= 1 and above + below < 1 + 1e-9
        assert (above > below) == (difference > 0)


def test_html_of_a_completion_becomes_its_words_again() -> None:
    markup = "<p>Anna &amp; Ben,<br>the <em>lamp</em> is ready.</p>\n<ul><li>one</li><li>two</li></ul>"
    assert labelers.text_of_html(markup) == "Anna & Ben, the lamp is ready. one two"


def test_answers_come_back_from_the_html_of_the_labeling_page_as_they_were_written() -> None:
    for index in range(500):
        _, text = grammar.corpus_example(seed=0, index=index)
        assert labelers.text_of_html(render.render(text)) == text


def test_a_demonstration_is_the_same_each_time_and_differs_by_slot() -> None:
    request = grammar.request(seed=0, index=4)
    texts = {labelers.demonstration(0, labelers.task_key(request.text), slot, request.text) for slot in range(8)}
    assert len(texts) > 3
    assert labelers.demonstration(0, "k", 0, request.text) == labelers.demonstration(0, "k", 0, f"{request.text} ")


def test_a_prompt_from_outside_the_grammar_still_gets_a_demonstration() -> None:
    assert labelers.demonstration(0, "k", 0, "Explain tax law.").endswith(".")
