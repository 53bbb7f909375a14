"""A judge scores pairs by the reward model alone; an estimate turns verdicts into win rates without torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.learning import configs, estimate, judge, reward_model
from rlhf.learning.configs import EstimateConfig, JudgeConfig
from rlhf.learning.tables import ESTIMATE_ROWS, JUDGE_ROWS, PAIRS, VERDICTS, TableError, added, read_table, write_table
from rlhf.learning.text import encode
from tests.learning.conftest import answer, question
from tests.learning.rankings import CPU, new_reward_model, result, text_config


def pairs(folder: Path, swapped: bool = False, count: int = 9) -> Path:
    rows = [
        {
            "pair_id": 70 + i,
            "prompt_id": i,
            "prompt": question(i),
            "completion_a": answer(i)[:40] if not swapped else "no",
            "completion_b": "no" if not swapped else answer(i)[:40],
        }
        for i in range(count)
    ]
    write_table(folder / "data/pairs.parquet", PAIRS, rows)
    return folder


def test_every_architecture_judges(any_model: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = any_model
    reward_path = new_reward_model(tmp_path / "reward", path)
    model = reward_model.load(str(reward_path), CPU)
    text = text_config(prompt_format)
    judge.run(pairs(tmp_path), JudgeConfig(str(reward_path), text=text, batch_size=4))
    rows = read_table(tmp_path / "rows.parquet", JUDGE_ROWS)
    assert [row["pair_id"] for row in rows] == list(range(70, 79))
    for row in rows:
        completions = (answer(row["prompt_id"])[:40], "no")
        prompt = question(row["prompt_id"])
        sequences = [encode(model.tokenizer, 0, prompt, completion, text) for completion in completions]
        raw_a, raw_b = (reward_model.score(model, [sequence], 1)[0] for sequence in sequences)
        assert row["score_a"] == pytest.approx(2 * raw_a + 0.5, abs=1e-4)
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(raw_b - raw_a)), abs=1e-5)


def test_pairs_swapped_give_one_minus_the_probability(llama_path: Path, tmp_path: Path) -> None:
    config = JudgeConfig(str(new_reward_model(tmp_path / "reward", llama_path)), text=text_config("chat"))
    found = []
    for swapped in (False, True):
        folder = pairs(tmp_path / str(swapped), swapped)
        judge.run(folder, config)
        found.append(read_table(folder / "rows.parquet", JUDGE_ROWS))
    for one, other in zip(*found, strict=True):
        assert one["probability"] == pytest.approx(1 - other["probability"], abs=1e-6)
        assert one["score_a"] == pytest.approx(other["score_b"], abs=1e-5)


def verdicts(folder: Path, scores: list[float]) -> Path:
    rows = [
        {
            **added(VERDICTS),
            "verdict_id": i,
            "evaluation_id": 3,
            "prompt_id": i // 2,
            "split": "held_out" if i < 4 else "train",
            "judge_id": 9,
            "rater": "reward",
            "position": ("candidate_first", "baseline_first")[i % 2],
            "replicate": 0,
            "score": score,
        }
        for i, score in enumerate(scores)
    ]
    write_table(folder / "data/verdicts.parquet", VERDICTS, rows)
    return folder


def test_an_estimate_gives_a_row_per_evaluation_judge_and_split(tmp_path: Path) -> None:
    estimate.run(verdicts(tmp_path, [1.0, 0.0, 1.0, 1.0, 0.5, 0.0]), EstimateConfig())
    rows = read_table(tmp_path / "rows.parquet", ESTIMATE_ROWS)
    assert [(r["split"], r["num_prompts"], r["num_verdicts"]) for r in rows] == [
        ("held_out", 2, 4),
        ("train", 1, 2),
        ("all", 3, 6),
    ]
    assert [r["win_rate"] for r in rows] == pytest.approx([0.75, 0.25, (0.5 + 1 + 0.25) / 3])
    assert (rows[2]["wins"], rows[2]["ties"], rows[2]["losses"]) == (3, 1, 2)
    assert result(tmp_path)["kind"] == "estimate"


def test_an_estimate_needs_no_torch(tmp_path: Path) -> None:
    verdicts(tmp_path, [1.0, 0.0])
    (tmp_path / "config.json").write_text(json.dumps(configs.to_dict(EstimateConfig())))
    code = (
        "import sys; from rlhf.learning.__main__ import main; assert main(sys.argv[1:]) == 0\n"
        "assert not {'torch', 'transformers', 'django'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "estimate", str(tmp_path)], check=True)
    assert result(tmp_path)["metrics"] == {"num_verdicts": 2, "num_estimates": 2}


def test_verdicts_outside_zero_to_one_are_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="'verdict_id': 1"):
        estimate.run(verdicts(tmp_path, [1.0, 7.0]), EstimateConfig())
