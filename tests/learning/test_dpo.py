"""DPO, IPO and KTO begin exactly at their reference, learn what the labels say, and resume to the same bytes."""

from __future__ import annotations

import math
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.learning import dpo
from rlhf.learning.configs import ConfigError, DPOConfig, EngineConfig, OptimizerConfig, from_dict
from rlhf.learning.dpo import Networks, log_ratios, mismatched, reference_point
from rlhf.learning.policy import load_policy
from rlhf.learning.rankings import NoComparisons, collate, encode_rankings
from rlhf.learning.tables import RANKINGS, REWARD_ROWS, TableError, read_table, write_table
from tests.learning.rankings import (
    CPU,
    metric_lines,
    ranking_rows,
    rankings_folder,
    read_by,
    result,
    start,
    text_config,
    weights,
)


def dpo_config(path: Path, prompt_format: str = "chat", **changes: Any) -> DPOConfig:
    config = DPOConfig(
        model=str(path),
        text=text_config(prompt_format),
        optimizer=OptimizerConfig(learning_rate=3e-3, schedule="constant", warmup_share=0.0),
        engine=EngineConfig(checkpoint_every=2),
        num_epochs=6,
        batch_size=6,
        micro_batch_size=6,
    )
    return replace(config, **changes)


def _networks(path: Path, shifted: float = 0.0) -> Networks:
    policy, reference = load_policy(str(path), CPU), load_policy(str(path), CPU).model
    with torch.no_grad():
        for number, parameter in enumerate(policy.model.parameters()):
            drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter += shifted * drawn
    return Networks(policy, reference)


@pytest.mark.parametrize("loss", ["dpo", "ipo", "kto"])
def test_it_learns_to_order_held_out_answers(loss: str, llama_path: Path, tmp_path: Path) -> None:
    folder = rankings_folder(tmp_path, count=40, num_held_out=10)
    dpo.run(folder, dpo_config(llama_path, loss=loss))
    metrics, lines = result(folder)["metrics"], metric_lines(folder)
    assert metrics["accuracy"] > 0.7 and metrics["num_pairs"] == 56
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[-1]["accuracy"] > 0.7
    assert lines[-1]["reward_chosen"] > lines[-1]["reward_rejected"]
    assert metrics["accuracy"] == pytest.approx(_accuracy(read_table(folder / "rows.parquet", REWARD_ROWS)))
    AutoModelForCausalLM.from_pretrained(folder / "model")


def _accuracy(rows: list[dict[str, Any]]) -> float:
    """The report again, from the rows that were written."""
    right = [
        float(better["score"] > worse["score"])
        for better in rows
        for worse in rows
        if better["ranking_id"] == worse["ranking_id"] and better["rank"] < worse["rank"]
    ]
    return sum(right) / len(right)


def test_every_architecture_begins_at_its_reference(any_model: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = any_model
    dpo.run(rankings_folder(tmp_path), dpo_config(path, prompt_format, num_epochs=1, micro_batch_size=2))
    first = metric_lines(tmp_path)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert (first["reward_chosen"], first["reward_rejected"], first["accuracy"]) == (0.0, 0.0, 0.0)


def test_the_first_step_of_kto_costs_a_half_and_of_ipo_the_square_of_its_target(
    llama_path: Path, tmp_path: Path
) -> None:
    for loss, expected in (("kto", 0.5), ("ipo", 25.0)):
        dpo.run(rankings_folder(tmp_path / loss), dpo_config(llama_path, loss=loss, num_epochs=1))
        assert metric_lines(tmp_path / loss)[0]["loss"] == pytest.approx(expected, abs=1e-5)


def test_the_log_ratio_is_a_sum_and_for_ipo_a_mean_over_tokens(llama_path: Path) -> None:
    networks = _networks(llama_path, shifted=0.02)
    batch = collate(encode_rankings(read_by(networks.policy.tokenizer, text_config("chat")), ranking_rows(2)), 0).batch
    sums, means = (log_ratios(networks, batch, of_mean) for of_mean in (False, True))
    assert sums.abs().min() > 0
    torch.testing.assert_close(sums, means * batch.completion_mask.sum(1))


def test_a_small_beta_goes_further_from_the_reference(llama_path: Path, tmp_path: Path) -> None:
    distance = []
    for beta in (0.02, 2.0):
        dpo.run(rankings_folder(tmp_path / str(beta)), dpo_config(llama_path, beta=beta))
        rows = read_table(tmp_path / str(beta) / "rows.parquet", REWARD_ROWS)
        distance.append(sum(abs(row["score"]) / beta for row in rows) / len(rows))
    assert distance[0] > 1.5 * distance[1]


def test_ipo_stops_where_dpo_goes_on(llama_path: Path, tmp_path: Path) -> None:
    """At beta = 1 IPO's target is half a nat per token; DPO's log-ratios grow as long as it trains."""
    spread = {}
    for loss in ("dpo", "ipo"):
        config = dpo_config(llama_path, loss=loss, beta=1.0, num_epochs=25)
        dpo.run(rankings_folder(tmp_path / loss, num_held_out=0), config)
        last = metric_lines(tmp_path / loss)[-1]
        spread[loss] = last["reward_chosen"] - last["reward_rejected"]
    assert spread["ipo"] == pytest.approx(0.5, abs=0.2) and spread["dpo"] > 3


def test_desirable_weight_decides_between_pulling_up_and_pushing_down(llama_path: Path, tmp_path: Path) -> None:
    chosen = []
    for up, down in ((1.0, 0.05), (0.05, 1.0)):
        config = dpo_config(llama_path, loss="kto", desirable_weight=up, undesirable_weight=down)
        dpo.run(rankings_folder(tmp_path / str(up)), config)
        last = metric_lines(tmp_path / str(up))[-1]
        chosen.append((last["reward_chosen"], last["reward_rejected"]))
    assert chosen[0][0] > chosen[1][0] and chosen[0][1] > chosen[1][1]


def test_kto_measures_its_reference_point_on_answers_to_other_prompts(llama_path: Path) -> None:
    there, back = _networks(llama_path, shifted=0.05), _networks(llama_path)
    networks = Networks(back.policy, there.policy.model)  # the unperturbed model likes these texts better: z is above 0
    rows = [row | {"prompt_id": row["prompt_id"] // 2} for row in ranking_rows(6)]
    training = encode_rankings(read_by(networks.policy.tokenizer, text_config("chat")), rows)
    others = mismatched(training)
    for place, (ranking, other) in enumerate(zip(training, others, strict=True)):
        assert other.prompt_ids == ranking.sequences[0].prompt_ids
        expected = training[(place + 2 - place % 2) % 6]
        assert other.completion_ids == expected.sequences[0].completion_ids
    config = dpo_config(llama_path, loss="kto")
    found = [reference_point(networks, others, replace(config, micro_batch_size=size)) for size in (1, 2, 6)]
    assert found == [pytest.approx(found[0], abs=1e-4)] * 3 and found[0] > 0
    assert reference_point(_networks(llama_path), others, config) == 0.0


def test_every_step_of_kto_asks_for_its_reference_point(
    llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference point far above every log-ratio: what is desirable costs all it can, what is undesirable nothing."""
    monkeypatch.setattr(dpo, "reference_point", lambda *_: 1e3)
    dpo.run(rankings_folder(tmp_path), dpo_config(llama_path, loss="kto", num_epochs=1))
    assert {line["kl"] for line in metric_lines(tmp_path)} == {1e3}
    assert [line["loss"] for line in metric_lines(tmp_path)] == pytest.approx([0.5] * len(metric_lines(tmp_path)))
    assert {line["gradient_norm"] for line in metric_lines(tmp_path)} == {0.0}


def test_kto_of_one_prompt_is_refused(llama_path: Path, tmp_path: Path) -> None:
    rows = [row | {"prompt_id": 9} for row in ranking_rows(4)]
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, rows)
    with pytest.raises(dpo.OnePrompt, match="found training rankings of prompt 9 alone, expected two prompts or more"):
        dpo.run(tmp_path, dpo_config(llama_path, loss="kto"))


def test_micro_batches_and_chunks_give_the_same_gradient(llama_path: Path, tmp_path: Path) -> None:
    norms = []
    for number, (size, chunk) in enumerate(((2, None), (6, None), (6, 5))):
        folder = rankings_folder(tmp_path / str(number))
        changes = {"micro_batch_size": size, "completions_per_forward": chunk}
        dpo.run(folder, dpo_config(llama_path, num_epochs=1, **changes))
        norms.append([line["gradient_norm"] for line in metric_lines(folder)])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4) and norms[2] == pytest.approx(norms[1], rel=1e-4)


def test_the_reference_of_a_resumed_run_is_where_the_run_started(llama_path: Path, tmp_path: Path) -> None:
    """Killed with kill -9 somewhere behind the second checkpoint, and started again: the same weights and metrics."""
    config = dpo_config(llama_path, num_epochs=14, loss="kto", engine=EngineConfig(checkpoint_every=5))
    whole = rankings_folder(tmp_path / "whole")
    dpo.run(whole, config)
    folder = rankings_folder(tmp_path / "killed")
    kill_after = random.randrange(12, 30)
    child = start("dpo", folder, config)
    while len(metric_lines(folder)) < kill_after:
        assert child.poll() is None, child.stderr and child.stderr.read()
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not (folder / "result.json").exists()
    assert start("dpo", folder, config).wait() == 0
    assert weights(folder / "model") == weights(whole / "model")
    assert result(folder)["metrics"] == result(whole)["metrics"]
    numbers = ("step", "loss", "kl", "gradient_norm")
    assert [[line[n] for n in numbers] for line in metric_lines(folder)] == [
        [line[n] for n in numbers] for line in metric_lines(whole)
    ]


def test_bad_rankings_are_named_before_any_step(llama_path: Path, tmp_path: Path) -> None:
    rows = ranking_rows(4)
    rows[2]["weight"] = -1.0
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, rows)
    with pytest.raises(TableError, match="ranking 502, field weight: found -1.0, expected a finite number"):
        dpo.run(tmp_path, dpo_config(llama_path))
    write_table(tmp_path / "data/rankings.parquet", RANKINGS, [r | {"ranks": [1, 1, 1, 1]} for r in ranking_rows(4)])
    with pytest.raises(NoComparisons, match="found no training ranking with a preference"):
        dpo.run(tmp_path, dpo_config(llama_path))
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": 0}, "beta: expected more than 0"),
        ({"loss": "slic"}, "dpo.loss: expected one of"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "label_smoothing: expected 0 for ipo"),
        ({"desirable_weight": 0}, "desirable_weight: expected more than 0"),
        ({"temperature": 1}, "unknown keys"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict("dpo", {"model": "somewhere"} | values)
