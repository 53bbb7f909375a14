"""The document: canonical bytes, who takes part, and what each piece says of a few verdicts."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from rlhf.learning import configs, estimate, tables
from rlhf.learning.evaluation.document import canonical
from tests.learning.evaluation.rows import VERSIONS, both_orders, document, verdict, write

JUDGES = [
    {"id": 7, "name": "rm1", "kind": "reward_model", "trained": [11]},
    {"id": 8, "name": "a language model", "kind": "llm", "family": "llama"},
    {"id": 9, "name": "people", "kind": "people"},
]
PIECES = {
    "format", "seed", "num_resamples", "confidence", "num_verdicts", "versions", "judges", "cells", "slices",
    "hidden_slices", "chain", "rankings", "controls", "positions", "agreement", "ceiling", "raters", "calibrated",
    "rewards", "alarms", "regressions",
}  # fmt: skip


def some(seed: int = 0, num: int = 60) -> list[dict]:
    """Three judges on three evaluations of three versions."""
    draw = random.Random(seed)
    rows = []
    for evaluation in (1, 2, 3):
        for prompt in range(num):
            known = {
                "split": "held_out" if prompt % 4 else "train", "category": ("chat", "code")[prompt % 2],
                "candidate_characters": draw.randint(10, 90), "baseline_characters": draw.randint(10, 90),
            }  # fmt: skip
            ours, theirs = draw.gauss(0.3, 1), draw.gauss(0, 1)
            rewards = {"candidate_reward": ours, "baseline_reward": theirs}
            rows.append(verdict(evaluation, 7, prompt, float(ours > theirs), **known, **rewards))
            rows += both_orders(evaluation, 8, prompt, *(draw.choice([0.1, 0.4, 0.9]) for _ in "ab"), **known)
            for rater in ("ann", "bea")[: 1 + prompt % 2] if prompt % 3 else ():
                rows.append(verdict(evaluation, 9, prompt, draw.choice([0.0, 0.5, 1.0]), rater=rater, **known))
    return rows


def test_the_same_verdicts_give_the_same_bytes_and_a_result_that_names_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        document(tmp_path / name, some(), JUDGES)
    one, other = ((tmp_path / name / "document.json").read_bytes() for name in ("a", "b"))
    assert one == other
    outputs = json.loads((tmp_path / "a/result.json").read_text())["outputs"]
    assert outputs["document.json"] == tables.sha256(tmp_path / "a/document.json")
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    assert sorted({line["step"] for line in lines}) == list(range(1, lines[-1]["total_steps"] + 1))


def test_a_document_is_canonical_json_without_nan(tmp_path: Path) -> None:
    found = document(tmp_path, some(), JUDGES)
    text = (tmp_path / "document.json").read_bytes()
    assert set(found) == PIECES
    assert json.dumps(found, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() == text
    assert canonical({"b": float("nan"), "a": [float("inf"), -0.0, (1, 0.1)]}) == b'{"a":[null,0.0,[1,0.1]],"b":null}'


def test_an_estimate_that_names_no_versions_writes_win_rates_alone(tmp_path: Path) -> None:
    estimate.run(write(tmp_path, some()), configs.from_dict("estimate", {}))
    assert not (tmp_path / "document.json").exists()
    assert list(json.loads((tmp_path / "result.json").read_text())["outputs"]) == ["rows.parquet"]


def test_versions_and_judges_are_named_by_the_configuration_and_counted_in_the_verdicts(tmp_path: Path) -> None:
    rows = [
        *both_orders(1, 8, 1, 0.8, 0.7, candidate_characters=30, baseline_characters=10),
        verdict(1, 7, 1, 1.0, candidate_characters=30, baseline_characters=10),
        verdict(1, 7, 2, 1.0, candidate_characters=50, baseline_characters=20),
    ]
    found = document(tmp_path, rows, JUDGES)
    assert [(row["name"], row["number"], row["num_answers"], row["mean_characters"]) for row in found["versions"]] == [
        ("v0", 0, 2, 15.0), ("v1", 1, 2, 40.0)
    ]  # fmt: skip
    [reward, llm] = found["judges"]
    assert (reward["name"], reward["trained"], reward["graded"], reward["both_orders"]) == ("rm1", [11], False, False)
    assert (llm["name"], llm["family"], llm["graded"], llm["both_orders"]) == ("a language model", "llama", True, True)


def test_a_party_that_nobody_named_still_has_its_place(tmp_path: Path) -> None:
    found = document(tmp_path, [verdict(1, 7, 1, 1.0)], versions=[VERSIONS[0]])
    assert [row["name"] for row in found["versions"]] == ["v0", "version 11"]
    assert [row["name"] for row in found["judges"]] == ["judge 7"]


def test_slices_under_twenty_held_out_prompts_are_hidden_and_counted(tmp_path: Path) -> None:
    rows = [
        *(verdict(1, 7, prompt, float(prompt % 2), category="chat") for prompt in range(20)),
        *(verdict(1, 7, prompt, 1.0, category="code") for prompt in range(20, 39)),
        *(verdict(1, 7, prompt, 1.0, category="code", split="train") for prompt in range(39, 50)),
        *(verdict(1, 7, prompt, 1.0) for prompt in range(50, 80)),  # of no category
    ]
    found = document(tmp_path, rows)
    assert [(row["category"], row["num_prompts"], row["win_rate"]) for row in found["slices"]] == [("chat", 20, 0.5)]
    assert [found["slices"][0][name] for name in ("wins", "ties", "losses", "unsettled")] == [10, 0, 10, 0]
    assert found["hidden_slices"] == 1


def test_slices_share_their_false_discoveries_and_are_drawn_to_the_rate_of_all(tmp_path: Path) -> None:
    rows = [
        *(verdict(1, 7, prompt, float(prompt % 10 > 0), category="chat") for prompt in range(40)),  # 90 %
        *(verdict(1, 7, prompt, float(prompt % 2), category="code") for prompt in range(40, 80)),
    ]
    chat, code = document(tmp_path, rows)["slices"]
    assert [chat["win_rate"], code["win_rate"]] == pytest.approx([0.9, 0.5])
    assert 0.7 < chat["shrunk"] < 0.9 and 0.5 < code["shrunk"] < 0.7
    assert chat["q"] < 1e-6 and code["q"] == 1.0


def test_a_chain_says_better_only_after_holm_and_refuses_in_words(tmp_path: Path) -> None:
    rows = [verdict(1, 7, prompt, float(prompt < 55)) for prompt in range(60)]
    rows += [verdict(2, 7, prompt, float(prompt < 31)) for prompt in range(60)]
    found = document(tmp_path, rows)
    assert [(row["candidate"], row["verdict"]) for row in found["chain"]] == [(11, "better"), (12, "open")]
    assert all(row["p_holm"] >= row["p"] for row in found["chain"])
    [ranking] = found["rankings"]
    assert (ranking["state"], [row["version"] for row in ranking["versions"]][-1]) == ("fitted", 10)
    assert [row["strength"] for row in ranking["versions"] if row["version"] == 10] == [0.0]
    # 55 wins to 5 losses, and only that compares v1 with v0: ln 11.
    assert ranking["gaps"][0]["gap"] == pytest.approx(math.log(11))
    assert [(row["rank_low"], row["rank_high"]) for row in ranking["versions"]] == [(1, 2), (1, 2), (3, 3)]


def test_a_lead_without_a_lost_point_has_no_size(tmp_path: Path) -> None:
    [ranking] = document(tmp_path, [verdict(1, 7, prompt, 1.0) for prompt in range(30)])["rankings"]
    assert (ranking["state"], ranking["versions"]) == ("sweep", [])
    assert "v1" in ranking["reason"]


def test_a_regression_was_won_one_step_before_and_is_lost_now(tmp_path: Path) -> None:
    rows = [
        verdict(1, 7, 1, 1.0), verdict(2, 7, 1, 0.0),  # v1 won it over v0, v2 loses it to v1
        verdict(1, 7, 2, 0.75), verdict(2, 7, 2, 0.25),  # the same, by less
        verdict(1, 7, 3, 0.0), verdict(2, 7, 3, 0.0),  # was lost before
        verdict(1, 7, 4, 1.0), verdict(2, 7, 4, 0.5),  # is a tie now
        verdict(1, 7, 5, 1.0, split="train"), verdict(2, 7, 5, 0.0, split="train"),
        verdict(3, 7, 3, 0.0),  # v2 against v0 is no step
    ]  # fmt: skip
    found = document(tmp_path, rows)["regressions"]
    assert [(row["prompt"], row["score_before"], row["score_now"]) for row in found] == [(1, 1.0, 0.0), (2, 0.75, 0.25)]
    assert {(row["before"], row["evaluation"], row["candidate"], row["baseline"]) for row in found} == {(1, 2, 12, 11)}


def test_position_bias_is_of_judges_that_saw_both_orders(tmp_path: Path) -> None:
    rows = [row for prompt in range(30) for row in both_orders(1, 8, prompt, 1.0, 0.0)]  # always the first
    rows += [verdict(1, 7, prompt, 1.0) for prompt in range(30)]
    [found] = document(tmp_path, rows, JUDGES)["positions"]
    assert (found["judge"], found["num_pairs"], found["consistency"], found["num_first"]) == (8, 30, 0.0, 30)
    assert found["low"] > 0 and found["p"] < 1e-6


def test_judges_stand_beside_people_on_the_prompts_that_both_judged(tmp_path: Path) -> None:
    rows = [verdict(1, 8, prompt, float(prompt % 2)) for prompt in range(40)]
    rows += [verdict(1, 9, prompt, float(prompt % 2), rater="ann") for prompt in range(10)]
    rows += [verdict(1, 9, prompt, float(prompt % 2), rater="bea") for prompt in range(4)]
    found = document(tmp_path, rows, JUDGES)
    [agreement] = found["agreement"]
    assert (agreement["judge"], agreement["num_pairs"], agreement["agreement"]) == (8, 10, 1.0)
    assert agreement["confusion"] == [[5, 0, 0], [0, 0, 0], [0, 0, 5]]
    assert agreement["signs"] == {"same": 1, "num": 1}
    assert (found["ceiling"]["agreement"], found["ceiling"]["num_pairs"]) == (1.0, 4)
    assert found["raters"]["alpha"] == pytest.approx(1.0)
    [calibrated] = found["calibrated"]
    assert (calibrated["num_human"], calibrated["num_judged"], calibrated["judge"]) == (10, 40, 8)


def test_rewards_are_measured_by_the_first_version_and_an_answer_counts_once(tmp_path: Path) -> None:
    rows = [
        verdict(evaluation, 7, prompt, 1.0, candidate_reward=float(prompt + 2), baseline_reward=float(prompt))
        for evaluation in (1, 3)
        for prompt in range(5)
    ]
    found = {row["version"]: row for row in document(tmp_path, rows, JUDGES)["rewards"]}
    assert {version: row["num"] for version, row in found.items()} == {10: 5, 11: 5, 12: 5}
    assert found[10]["standard_mean"] == 0.0
    assert found[11]["standard_mean"] == pytest.approx(2 / 2.5**0.5)  # the sd of 0 to 4 is sqrt(2.5)
    assert len(found[11]["quantiles"]) == 21


@pytest.mark.parametrize(("trained", "num"), [([11], 1), ([], 0)])
def test_an_alarm_is_of_a_judge_that_was_the_training_reward(tmp_path: Path, trained: list[int], num: int) -> None:
    rows = [verdict(1, 7, prompt, 1.0) for prompt in range(60)]
    rows += [verdict(1, 9, prompt, 0.0, rater="ann") for prompt in range(60)]
    judges = [{**JUDGES[0], "trained": trained}, JUDGES[2]]
    found = document(tmp_path, rows, judges)["alarms"]
    assert [(row["reward_judge"], row["judge"], row["level"]) for row in found] == [(7, 9, "red")] * num
    assert all("100 % by rm1, 0 % by people" in row["sentence"] for row in found)
