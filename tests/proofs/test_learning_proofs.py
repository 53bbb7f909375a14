"""Reduced sizes of the proofs that train: labels, rounds, over-optimisation and alarms, on one small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.proofs import failures, labels, overoptimisation, rounds
from benchmarks.proofs.numbers import Number
from benchmarks.proofs.sizes import FULL, TEST
from benchmarks.proofs.world import World


def by_name(numbers: list[Number]) -> dict[str, Number]:
    return {number.name: number for number in numbers}


def test_a_reward_model_stays_below_the_ceiling_that_a_linear_head_on_gold_features_comes_near(worlds: Path) -> None:
    found = {"0": labels.compute(worlds, "0", TEST)}
    numbers = by_name(labels.numbers(found, TEST))
    ceiling = numbers["ceiling"].value
    assert 0.7 < ceiling < 0.95 and numbers["held-out comparisons of 1 seeds"].value > 0.8 * TEST.num_held_out
    assert 0.5 < numbers[f"accuracy, {max(TEST.label_sizes)} rankings"].value < ceiling
    assert 0 <= numbers["gap of a linear head on gold features"].value < 0.05  # of 96 rankings; 1,200 in full
    ups = np.array(found["0"]["accuracy"]["96"]) - np.array(found["0"]["ceiling"])
    assert (ups <= 1e-12).all()  # pair by pair, nobody beats the ceiling


def test_a_round_makes_a_version_whose_gold_is_compared_with_the_last_one_prompt_by_prompt(worlds: Path) -> None:
    found = {"0": rounds.compute(worlds, "0", TEST)}
    numbers = by_name(rounds.numbers(found, TEST))
    gained = numbers["gold gained in round 1"]
    assert gained.low is not None and gained.high is not None and gained.low < gained.value < gained.high
    assert gained.high > 0 and numbers["gold before round 1"].value != 0
    assert gained.holds == (gained.low > 0) and gained.expected == "interval above 0"


def test_a_run_without_a_penalty_leaves_its_start_further_and_further(worlds: Path) -> None:
    found = overoptimisation.compute(worlds, "0", TEST)
    assert found["iteration"] == [0, 2, 4] and found["kl"][0] == 0.0
    assert found["kl"][2] > found["kl"][1] > 0
    assert all(len(gold) == TEST.num_held_out for gold in found["gold"])
    pool = found["best_of_n"]
    assert set(pool) == {str(n) for n in overoptimisation.NS} and len(set(pool.values())) > 1
    names = by_name(overoptimisation.numbers({"0": found}, TEST))
    assert "seed 0: predicted over measured sqrt(KL) of the peak, form for reinforcement learning" in names
    assert len(found["proxy"]) == 3 and found["proxy"][2] != found["proxy"][0]


@pytest.mark.parametrize("kind", ["dropout", "temperature", "truncation"])
def test_a_failure_that_is_wrong_from_the_start_raises_its_own_alarm_at_once(worlds: Path, kind: str) -> None:
    found = failures.compute(worlds, f"proof/0/{kind}/0", TEST)
    assert [found["raised"].get(name) for name in failures.FAILURES[kind]] == [1]


def test_a_healthy_run_raises_none_and_drifts_less_than_one_paid_for_length_or_without_a_penalty(worlds: Path) -> None:
    healthy = failures.compute(worlds, "proof/0/healthy/0", TEST)
    assert healthy["raised"] == {}
    longer = failures.compute(worlds, "proof/0/length/0", TEST)
    assert longer["highest"]["reward is length"] > healthy["highest"]["reward is length"] + 0.2
    free = failures.compute(worlds, "proof/0/beta/0", TEST)
    assert free["highest"]["KL budget is spent"] > healthy["highest"]["KL budget is spent"]


def test_the_proof_uses_other_worlds_and_seeds_than_those_that_thresholds_were_fixed_on() -> None:
    keys = failures.units(FULL)
    seeds = {phase: {key.split("/")[1] for key in keys if key.startswith(phase)} for phase in ("calibration", "proof")}
    assert seeds["calibration"].isdisjoint(seeds["proof"])
    proof = [key for key in keys if key.startswith("proof/")]
    assert sum("/healthy/" in key for key in proof) == 60 and len(set(keys)) == len(keys)
    assert all(sum(f"/{kind}/" in key for key in proof) == 10 for kind in failures.FAILURES)


def test_a_failure_is_caught_only_by_an_alarm_that_names_it_and_any_alarm_of_a_healthy_run_is_false() -> None:
    right, wrong = (
        {"raised": {"prompts are truncated": 1}, "highest": {}},
        {"raised": {"length drifts": 4}, "highest": {}},
    )
    found = {f"proof/0/{kind}/{run}": {"raised": {}, "highest": {}} for kind in failures.FAILURES for run in (0, 1)}
    found |= {"proof/0/truncation/0": right, "proof/0/truncation/1": wrong, "proof/0/healthy/0": wrong}
    numbers = by_name(failures.numbers(found, TEST))
    caught = next(number for name, number in numbers.items() if name.startswith("truncation (") and "caught" in name)
    assert (caught.value, caught.holds) == (0.5, False)
    alarmed = numbers["healthy runs that alarm, of 1"]
    assert (alarmed.value, alarmed.holds) == (1.0, False)


def test_a_ranking_of_ties_teaches_a_linear_head_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, 0, TEST)
    tied = {"prompt_id": 3, "completions": ["Thank you.", "No."], "ranks": [1, 1]}
    rows, weights = labels.labeled_features(world, [tied, tied | {"ranks": [2, 1]}])
    assert rows.shape == (1, 7) and weights.tolist() == [1.0]
    assert (rows[0] == labels.features(world, 3, "No.") - labels.features(world, 3, "Thank you.")).all()
