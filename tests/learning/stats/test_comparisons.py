"""Tables of unit scores, refusals in words, and cycles."""

import itertools

import numpy as np
import pytest

from rlhf.learning.stats.comparisons import Table, connection, largest_cycle, tabulate


def played(outcomes: dict[tuple[int, int], tuple[int, int]]) -> Table:
    """A table from {(version, version): (wins, losses)}, a prompt for each."""
    rows = [
        (one, other, score)
        for (one, other), (wins, losses) in outcomes.items()
        for score in [1.0] * wins + [0.0] * losses
    ]
    return tabulate(range(len(rows)), *zip(*rows, strict=True))


def test_rows_of_a_prompt_and_pair_become_their_mean_whichever_version_is_the_candidate() -> None:
    table = tabulate([7, 7, 7, 9], [2, 4, 2, 4], [4, 2, 4, 8], [1.0, 0.0, 0.25, 0.5])
    assert table.versions == (2, 4, 8)
    assert list(zip(table.first.tolist(), table.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert table.scores.tolist() == [[0.75, 0], [0, 0.5]]
    assert table.judged.tolist() == [[1, 0], [0, 1]]
    assert table.points.tolist() == [[0, 0.75, 0], [0.25, 0, 0.5], [0, 0.5, 0]]


def test_impossible_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        tabulate([1, 2], [1], [2], [1.0])
    with pytest.raises(ValueError, match="from 0 to 1"):
        tabulate([1], [1], [2], [float("nan")])
    with pytest.raises(ValueError, match="version 3 against itself"):
        tabulate([1], [3], [3], [0.5])


def test_versions_that_took_points_from_each_other_are_fitted() -> None:
    found = connection(played({(1, 2): (15, 10), (2, 3): (20, 5)}))
    assert (found.state, found.reason) == ("fitted", "3 versions compared on 50 prompts.")


def test_groups_that_never_met_are_not_comparable() -> None:
    found = connection(played({(1, 2): (15, 10), (3, 4): (20, 5)}), {1: "v1", 2: "v2", 3: "v3", 4: "a rival"})
    assert found.state == "disconnected"
    assert found.reason == "No comparisons link these groups, so they share no scale: v1 and v2; v3 and a rival."


def test_a_sweep_wears_no_crown() -> None:
    found = connection(played({(1, 2): (15, 10), (3, 1): (30, 0), (3, 2): (30, 0)}), {3: "v3"})
    assert found.state == "sweep"
    assert found.reason == "The others took no point from v3, so the lead has no finite size."
    two = connection(played({(1, 2): (15, 10), (1, 3): (30, 0), (2, 3): (30, 0)}))
    assert two.reason.startswith("The others took no point from version 1 and version 2,")


def test_one_tie_takes_the_point_that_a_sweep_lacks() -> None:
    rows = [(3, 1, 1.0)] * 30 + [(3, 1, 0.5)]
    assert connection(tabulate(range(31), *zip(*rows, strict=True))).state == "fitted"


def test_too_few_prompts_and_too_few_versions_say_how_many_there_are() -> None:
    found = connection(played({(1, 2): (6, 4)}))
    assert (found.state, found.reason) == ("too_few", "Found 10 judged prompts; a ranking with intervals needs 20.")
    nobody = connection(tabulate([], [], [], []))
    assert (nobody.state, nobody.reason) == ("too_few", "Found 0 compared versions; a ranking needs two.")


def test_rock_paper_scissors_is_named_in_its_order() -> None:
    assert largest_cycle(played({(4, 6): (70, 30), (6, 5): (70, 30), (5, 4): (70, 30)})) == [4, 6, 5]
    assert largest_cycle(played({(4, 5): (70, 30), (5, 6): (70, 30), (6, 4): (70, 30)})) == [4, 5, 6]


def test_preferences_that_agree_with_one_order_have_no_cycle() -> None:
    assert largest_cycle(played({(4, 6): (70, 30), (6, 5): (70, 30), (4, 5): (70, 30)})) is None


def test_a_cycle_within_chance_is_not_named() -> None:
    assert largest_cycle(played({(4, 6): (52, 48), (6, 5): (52, 48), (5, 4): (52, 48)})) is None


def test_the_larger_of_two_cycles_is_named() -> None:
    clear = (90, 10)
    small = {(1, 2): clear, (2, 3): clear, (3, 1): clear}
    large = {(4, 5): clear, (5, 6): clear, (6, 7): clear, (7, 4): clear, (4, 6): clear}
    assert largest_cycle(played({**small, (1, 4): clear, **large})) == [4, 5, 6, 7]


def test_a_knot_of_many_versions_has_a_cycle_through_all() -> None:
    around = {(i, (i + step) % 9): (80, 20) for i in range(9) for step in (1, 2, 3, 4)}
    found = largest_cycle(played(around))
    assert found is not None and len(found) == len(set(found)) == 9
    assert all((b - a) % 9 in (1, 2, 3, 4) for a, b in itertools.pairwise([*found, found[0]]))


def test_equal_versions_show_a_cycle_in_at_most_one_of_twenty() -> None:
    random = np.random.default_rng(0)
    first, second = np.triu_indices(6, k=1)
    named = 0
    for _ in range(300):
        scores = (random.random((100, 15)) < 0.5).astype(float)
        table = Table(tuple(range(6)), first, second, scores, np.ones_like(scores))
        named += largest_cycle(table) is not None
    assert named / 300 <= 0.05
