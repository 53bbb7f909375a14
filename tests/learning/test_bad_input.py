"""What can't be used is told in one sentence that names row and field, before any training step, whatever the stage."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.learning import reward_model
from rlhf.learning.__main__ import main
from rlhf.learning.tables import DEMONSTRATIONS, PAIRS, PROMPTS, RANKINGS, VERDICTS, added, read_table, write_table
from tests.learning.conftest import demonstration_rows, question
from tests.learning.rankings import CPU, new_reward_model, prompts_folder, ranking_rows

TEXT = {"max_prompt_tokens": 96, "max_completion_tokens": 8}
ENGINE = {"checkpoint_every": 0}
BATCH = {"num_epochs": 1, "batch_size": 8, "micro_batch_size": 4}
ITERATIONS = {"num_iterations": 1, "minibatch_size": 8, "micro_batch_size": 4, "missing_eos_score": None}
LONG = [{"role": "user", "content": "tell me more about the harbour " * 60}]


@dataclass
class Job:
    """A run folder with what would be a good run, for a case to spoil."""

    kind: str
    folder: Path
    config: dict[str, Any]
    paths: dict[str, Path]  # models at hand

    def change(self, table: str, schema: Any, place: int, **fields: Any) -> None:
        path = self.folder / "data" / f"{table}.parquet"
        rows = read_table(path, schema)
        rows[place] |= fields
        write_table(path, schema, rows)

    def start(self) -> int:
        (self.folder / "config.json").write_text(json.dumps(self.config))
        return main([self.kind, str(self.folder)])


def _data(kind: str, folder: Path) -> None:
    if kind in ("sft", "ppo", "reward"):
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(8))
    if kind in ("reward", "dpo"):
        write_table(folder / "data/rankings.parquet", RANKINGS, ranking_rows(8, 2))
    if kind in ("sample", "best_of_n", "ppo", "grpo"):
        prompts_folder(folder, 8, 2)
    if kind == "judge":
        pairs = [{"pair_id": 7, "prompt_id": 1, "prompt": question(1), "completion_a": "a", "completion_b": ""}]
        write_table(folder / "data/pairs.parquet", PAIRS, pairs)
    if kind == "estimate":
        verdict = {"verdict_id": 1, "evaluation_id": 2, "prompt_id": 3, "split": "train", "judge_id": 4, "rater": ""}
        rows = [added(VERDICTS) | verdict | {"position": "none", "replicate": 0, "score": 1.0}]
        write_table(folder / "data/verdicts.parquet", VERDICTS, rows)


def _config(kind: str, model: Path, reward: Path) -> dict[str, Any]:
    parts: dict[str, dict[str, Any]] = {
        "sft": {"model": str(model), **BATCH},
        "reward": {"model": str(model), **BATCH},
        "dpo": {"model": str(model), **BATCH},
        "sample": {"model": str(model)},
        "best_of_n": {"model": str(model), "reward_model": str(reward), "sampling": {"num_samples": 64}, **BATCH},
        "ppo": {
            "model": str(model), "reward_model": str(reward), "sft_model": str(model), "rollouts_per_iteration": 8,
            "ptx_coefficient": 1.0, "ptx_batch_size": 4, **ITERATIONS,
        },
        "grpo": {
            "model": str(model), "reward_model": str(reward), "prompts_per_iteration": 2, "group_size": 4, **ITERATIONS,
        },
        "judge": {"reward_model": str(reward)},
        "estimate": {},
    }  # fmt: skip
    return parts[kind] | ({} if kind == "estimate" else {"text": TEXT, "engine": ENGINE})


Make = Callable[[str], Job]
MODEL_KINDS = ("sft", "reward", "dpo", "sample", "best_of_n", "ppo", "grpo", "judge")


@pytest.fixture(scope="module")
def paths(
    tmp_path_factory: pytest.TempPathFactory, llama_path: Path, gpt2_path: Path, qwen2_path: Path
) -> dict[str, Path]:
    """Good models and spoilt ones."""
    folder = tmp_path_factory.mktemp("models")
    found = {"llama": llama_path, "gpt2": gpt2_path, "qwen2": qwen2_path}
    for name in ("llama", "gpt2", "qwen2"):
        found[f"{name} reward"] = new_reward_model(folder / f"{name}-reward", found[name])
    model = reward_model.load(str(llama_path), CPU)
    with torch.no_grad():
        model.network.score.weight.fill_(float("nan"))
    reward_model.save(model, folder / "nan-reward")
    found["nan reward"] = folder / "nan-reward"
    for name in ("llama", "llama reward"):
        cut = Path(shutil.copytree(found[name], folder / f"cut {name}"))
        weights = (cut / "model.safetensors").read_bytes()
        (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        found[f"cut {name}"] = cut
    return found


@pytest.fixture
def make(paths: dict[str, Path], tmp_path: Path) -> Make:
    def job(kind: str) -> Job:
        _data(kind, tmp_path)
        return Job(kind, tmp_path, _config(kind, paths["llama"], paths["llama reward"]), paths)

    return job


def _refused(job: Job, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = job.start()
    found = capsys.readouterr().err
    assert code == 2 and found.count("\n") == 1, found
    assert re.search(said, found), found
    assert not (job.folder / "model").exists() and not (job.folder / "result.json").exists()
    metrics = job.folder / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    assert [line for line in lines if line["phase"] in ("train", "scaling")] == []


@pytest.mark.parametrize("kind", [*MODEL_KINDS, "estimate"])
def test_a_good_run_is_good(kind: str, make: Make) -> None:
    assert make(kind).start() == 0


@pytest.mark.parametrize("kind", [*MODEL_KINDS, "estimate"])
def test_an_unknown_config_key(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    job.config["temprature"] = 1
    _refused(job, rf"^{kind}: unknown keys \['temprature'\]; expected some of", capsys)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_missing_template(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    job.config |= _config(kind, job.paths["gpt2"], job.paths["gpt2 reward"])
    _refused(job, r"found a tokenizer without a chat template, expected one for text\.prompt_format", capsys)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("field", ["model", "reward_model", "sft_model"])
def test_corrupt_safetensors(kind: str, field: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    if field not in job.config:
        job.config[field] = "somewhere"
        return _refused(job, rf"unknown keys \['{field}'\]", capsys)
    job.config[field] = str(job.paths["cut llama reward" if field == "reward_model" else "cut llama"])
    return _refused(job, rf"^{re.escape(job.config[field])}: expected .*, found none that loads", capsys)


TABLE_OF = {
    "sft": ("demonstrations", DEMONSTRATIONS, r"data/demonstrations\.parquet: demonstration 103"),
    "reward": ("rankings", RANKINGS, r"data/rankings\.parquet: ranking 503"),
    "dpo": ("rankings", RANKINGS, r"data/rankings\.parquet: ranking 503"),
    "sample": ("prompts", PROMPTS, r"data/prompts\.parquet: prompt 3"),
    "best_of_n": ("prompts", PROMPTS, r"data/prompts\.parquet: prompt 3"),
    "ppo": ("prompts", PROMPTS, r"data/prompts\.parquet: prompt 3"),
    "grpo": ("prompts", PROMPTS, r"data/prompts\.parquet: prompt 3"),
    "judge": ("pairs", PAIRS, r"data/pairs\.parquet: pair 7"),
}


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_prompt_longer_than_the_context(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    table, schema, row = TABLE_OF[kind]
    job.change(table, schema, 0 if kind == "judge" else 3, prompt=LONG)
    _refused(job, rf"^{row}, field prompt: found \d+ tokens, expected at most the 256 positions", capsys)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_texts_that_are_allowed_to_be_longer_than_the_context(
    kind: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(kind)
    job.config["text"] = {"max_prompt_tokens": 250, "max_completion_tokens": 8}
    said = r"^text\.max_prompt_tokens \+ text\.max_completion_tokens: expected at most the 256 positions of .*found 258"
    _refused(job, said, capsys)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_prompt_without_a_message(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    table, schema, _ = TABLE_OF[kind]
    job.change(table, schema, 0 if kind == "judge" else 3, prompt=[])
    _refused(job, r"parquet: \w+ \d+, field prompt: found \[\], expected messages", capsys)


@pytest.mark.parametrize("kind", ["sft", "reward", "ppo"])
def test_an_empty_completion_of_a_person(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    job.change("demonstrations", DEMONSTRATIONS, 2, completion=" \n")
    said = r"demonstrations\.parquet: demonstration 102, field completion: found ' \\n', expected a text that is not"
    _refused(job, said, capsys)


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo", "grpo", "best_of_n"])
def test_a_split_that_is_none(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    table, schema, _ = TABLE_OF[kind]
    job.change(table, schema, 3, split="validation")
    _refused(job, r"\w+ \d+, field split: found 'validation', expected train or held_out", capsys)


@pytest.mark.parametrize("kind", ["reward", "dpo"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"completions": ["one"], "completion_ids": [1], "ranks": [1]}, r"completions: found \['one'\], expected two"),
        ({"ranks": [1, 2]}, r"ranks: found \[1, 2\], expected as many of each: 4, as completions"),
        ({"weight": float("nan")}, r"weight: found nan, expected a finite number, 0 or more"),
    ],
)
def test_a_ranking_that_is_none(
    kind: str, fields: dict[str, Any], said: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(kind)
    job.change("rankings", RANKINGS, 3, **fields)
    _refused(job, rf"ranking 503, field {said}", capsys)


@pytest.mark.parametrize("kind", ["reward", "dpo"])
def test_ties_alone(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    rows = [row | {"ranks": [1, 1, 1, 1]} for row in ranking_rows(8, 2)]
    write_table(job.folder / "data/rankings.parquet", RANKINGS, rows)
    _refused(job, r"found no training ranking with a preference and a weight above 0 among 8 rows", capsys)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("best_of_n", {"sampling": {"num_samples": 1}}, r"sampling\.num_samples: expected at least 2, found 1"),
        ("grpo", {"group_size": 1}, r"group_size: expected at least 2, found 1"),
    ],
)
def test_one_completion_to_choose_from(
    kind: str, change: dict[str, Any], said: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(kind)
    job.config |= change
    _refused(job, said, capsys)


@pytest.mark.parametrize("kind", ["best_of_n", "ppo", "grpo", "judge"])
def test_a_reward_that_is_no_number(kind: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(kind)
    job.config["reward_model"] = str(job.paths["nan reward"])
    said = r"nan-reward: found scores that aren't finite for (completions of prompts|the rows) \[\d+"
    _refused(job, said, capsys)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ppo", {"reward_model": "qwen2 reward"}),
        ("ppo", {"sft_model": "qwen2"}),
        ("ppo", {"held_out_reward_model": "qwen2 reward"}),
        ("ppo", {"rewards": {"models": ["qwen2 reward"]}}),
        ("ppo", {"rewards": {"safety_model": "qwen2 reward"}}),
        ("grpo", {"reward_model": "qwen2 reward"}),
        ("reward", {"policy": "qwen2"}),
    ],
)
def test_two_models_that_mean_different_tokens(
    kind: str, change: dict[str, Any], make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(kind)
    job.config |= json.loads(re.sub(r"qwen2( reward)?", lambda m: str(job.paths[m[0]]), json.dumps(change)))
    _refused(job, r"found another tokenizer than that of .* \(\d+ and \d+ tokens, \d+ of them with other ids", capsys)


@pytest.mark.parametrize("score", [1.5, float("nan")])
def test_a_verdict_that_is_none(score: float, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = make("estimate")
    job.change("verdicts", VERDICTS, 0, score=score)
    _refused(
        job, r"expected splits train and held_out and scores from 0 to 1, found .*'verdict_id': 1.*'score'", capsys
    )


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo", "grpo", "judge"])
def test_answers_of_one_token_are_learned_from_and_none_is_left_out(kind: str, make: Make) -> None:
    job = make(kind)
    job.config["text"] = {"max_prompt_tokens": 96, "max_completion_tokens": 1}
    assert job.start() == 0
    metrics = json.loads((job.folder / "result.json").read_text())["metrics"]
    assert {"sft": 8, "reward": 6, "dpo": 6}.get(kind) == metrics.get("num_train")
    assert kind not in ("ppo", "grpo") or metrics["length"] == 1
