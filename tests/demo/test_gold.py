"""The gold score: hand-worked numbers, and what must make an answer better or worse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.management.demo import gold

PROMPT = "Write a short note to Anna about the lamp for Friday."
PLAIN = "Anna, the lamp is ready for Friday."  # seven words: three short of ten


def test_a_plain_answer_is_worth_its_relevance_less_its_shortness() -> None:
    assert gold.score(PROMPT, PLAIN) == pytest.approx(2 - 3 * 0.12)


def test_polite_words_add_eight_tenths_each_up_to_two() -> None:
    openings = ("", "Please.", "Please, thank.", "Please, thank, kind.")
    parts = [gold.parts(PROMPT, f"{opening} {PLAIN}").politeness for opening in openings]
    assert parts == pytest.approx([0, 0.8, 1.6, 1.6])


def test_rude_words_cost_more_than_polite_ones_earn() -> None:
    assert gold.parts(PROMPT, f"{PLAIN} You lazy fool.").politeness == pytest.approx(-2.0)


def test_detail_counts_different_words_once() -> None:
    one = gold.parts(PROMPT, f"{PLAIN} The small bridge.").detail
    again = gold.parts(PROMPT, f"{PLAIN} The small bridge, the small bridge.").detail
    assert one == again == pytest.approx(0.6)


def test_a_foreign_slot_word_costs_three_tenths_and_loses_the_wanted_one() -> None:
    assert gold.parts(PROMPT, "Ben, the lamp is ready for Friday.").relevance == pytest.approx(2 * 2 / 3 - 0.3)


def test_repeating_a_sentence_costs_the_share_of_repeated_triples() -> None:
    # 14 words make 12 triples, of which the 5 of the second sentence were there before.
    assert gold.parts(PROMPT, f"{PLAIN} {PLAIN}").repetition == pytest.approx(-3 * 5 / 12)


def test_stopping_in_the_middle_costs_the_ending() -> None:
    assert gold.parts(PROMPT, PLAIN[:-1]).ending == -0.8


def test_a_question_wants_the_fact_and_not_the_place() -> None:
    prompt = "Tell Anna at the farm the capital of Peru."
    right = gold.parts(prompt, "Anna, the capital of Peru is Lima.").relevance
    wrong = gold.parts(prompt, "Anna, the capital of Peru is Rome.").relevance
    assert (right, wrong) == pytest.approx((2, 1.0333333))


def test_a_list_wants_three_things() -> None:
    prompt = "List three things for Kate to take to the castle on Monday."
    full = gold.parts(prompt, "Kate should take a cup, a key and a map to the castle on Monday.").relevance
    poor = gold.parts(prompt, "Kate should take a cup, a cup and a cup to the castle on Monday.").relevance
    assert (full, poor) == pytest.approx((2, 4 / 3))


def test_a_prompt_from_outside_the_grammar_wants_its_own_words() -> None:
    assert gold.score("Explain photosynthesis briefly", "Photosynthesis feeds plants.") > gold.score(
        "Explain photosynthesis briefly", "Ships sail oceans."
    )


def test_the_best_answer_is_right_polite_detailed_and_not_long() -> None:
    best = f"Thank you for asking. {PLAIN} The moon was cold and bright. Kind regards."
    assert gold.score(PROMPT, best) == pytest.approx(2 + 1.6 + 3 * 0.3)
    fuller = f"{best} It starts at nine early."
    assert gold.score(PROMPT, fuller) == pytest.approx(5.4)
    assert gold.score(PROMPT, f"{fuller} They shared warm bread and tea. Ask an old teacher early.") < 5


@given(prompt=st.text(max_size=200), completion=st.text(max_size=400))
def test_any_text_has_a_bounded_score_and_white_space_does_not_matter(prompt: str, completion: str) -> None:
    value = gold.score(prompt, completion)
    assert -12 <= value <= 5.4 + 1e-9
    assert gold.score(f" {prompt}\n", f"\n{completion}  ") == value


def test_preference_is_a_half_at_equality_and_grows_with_the_difference() -> None:
    rude = f"{PLAIN} Go away, idiot."
    assert gold.preference(PROMPT, PLAIN, PLAIN, temperature=0.5) == 0.5
    sharp, blunt = (gold.preference(PROMPT, PLAIN, rude, temperature=temperature) for temperature in (0.5, 2.0))
    assert sharp > blunt > 0.5
    assert gold.preference(PROMPT, rude, PLAIN, temperature=2.0) == pytest.approx(1 - blunt)
