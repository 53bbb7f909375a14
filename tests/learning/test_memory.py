"""The estimate of memory: by hand, against the measured peak of real runs, and as a refusal before loading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhf.learning import memory, needs, sft
from rlhf.learning.__main__ import main
from rlhf.learning.configs import EngineConfig, PPOConfig, TextConfig
from rlhf.learning.memory import Estimate, Shape
from rlhf.learning.tables import CORPUS, DEMONSTRATIONS, PROMPTS, RANKINGS, write_table
from tests.learning.conftest import CHAT_TEMPLATE, save, train_tokenizer
from tests.learning.rankings import metric_lines, new_reward_model, ranking_rows, reward_config
from tests.learning.rows import WORDS, demonstration_rows, question
from tests.learning.test_sft import config as sft_config

FACTOR = 1.5  # between an estimate and a measured peak, either way
MIB = 1 << 20
# Width, layers, inner width, rows of a step. In a tiny model the process itself weighs most, in the others the weights.
SIZES = {"tiny": (64, 2, 128, 32), "7 M": (320, 6, 896, 4), "30 M": (512, 10, 1408, 4)}
SMALL = Shape(num_parameters=1000, layers=2, width=8, inner=32, kv_width=4, vocabulary=100)


def test_one_case_by_hand() -> None:
    """Ten tokens, five of them predicted: two layers of 12 x 8 + 4 x 4 + 5 x 32 = 272 numbers a token, and 4 x 8 around
    them, are 576; logits are 5 x 100 three times; a weight has a gradient and two moments."""
    assert memory.activations(SMALL, 10) == 4 * 10 * 576 == 23_040
    assert memory.logits(SMALL, 5) == 3 * 4 * 500 == 6_000
    found = needs._training(SMALL, needs.Size(tokens=10, completions=5, prompt=5))
    assert (found.weights, found.gradients, found.optimizer) == (4_000, 4_000, 8_000)
    assert found.total == 64 * MIB + 4_000 + 4_000 + 8_000 + 23_040 + 6_000
    # Two rows of 6 + 4 tokens, room for 64 more: keys and values of two layers, four times the logits, the prompts.
    assert memory.cache(SMALL, 2, 6, 4) == 4 * 2 * 74 * 2 * 2 * 4 + 4 * 4 * 2 * 100 + 4 * 12 * (48 + 8 + 96)


def test_the_sampler_and_the_update_are_not_counted_together() -> None:
    parts = {"process": 0, "weights": 10, "optimizer": 20, "gradients": 5, "activations": 5, "logits": 2}
    assert Estimate(**parts, cache=3).total == 42 and Estimate(**parts, cache=50).total == 80


def test_weights_are_counted_from_the_files_and_without_them_from_the_configuration(
    any_model: tuple[Path, str], tmp_path: Path
) -> None:
    path = any_model[0]
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((path / "config.json").read_bytes())
    assert memory.shape(str(path)) == memory.shape(str(bare))


MEASURE = """
import json, sys
from pathlib import Path
from rlhf.learning import configs
import importlib
from rlhf.learning.__main__ import STAGES
kind, folder = sys.argv[1], Path(sys.argv[2])
stage = importlib.import_module(STAGES[kind])
config = configs.read(kind, folder / "config.json")
def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = status("VmRSS")
stage.run(folder, config)
print(status("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer({"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}, 320, CHAT_TEMPLATE)


def _model(folder: Path, tokenizer: PreTrainedTokenizerFast, width: int, layers: int, inner: int) -> Path:
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return save(LlamaForCausalLM(config), tokenizer, folder)


def _long(i: int) -> str:
    return " ".join(WORDS[(i * 7 + j * 3) % 12] for j in range(120))


def _ready(kind: str, folder: Path, path: Path, rows: int) -> None:
    """A step of `rows` rows of 128 + 128 tokens (PPO: 128 + 64)."""
    changes: dict[str, Any] = {"num_epochs": 1, "batch_size": rows, "micro_batch_size": rows}
    if kind == "sft":
        found = [row | {"completion": _long(i)} for i, row in enumerate(demonstration_rows(2 * rows))]
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, found)
    elif kind == "reward":
        spoken = [{"completions": [_long(i + k) for k in range(4)], "ranks": [1, 2, 3, 4]} for i in range(rows)]
        rankings = [row | said for row, said in zip(ranking_rows(rows), spoken, strict=True)]
        write_table(folder / "data/rankings.parquet", RANKINGS, rankings)
        changes = {"num_epochs": 1, "batch_size": rows // 2, "micro_batch_size": rows // 4}
    else:
        prompts = [{"prompt_id": i, "prompt": question(i), "split": "train"} for i in range(rows)]
        write_table(folder / "data/prompts.parquet", PROMPTS, prompts)
        reward = str(new_reward_model(folder / "reward", path))
        changes = {
            "sft_model": str(path), "reward_model": reward, "num_iterations": 1, "rollouts_per_iteration": 2 * rows,
            "minibatch_size": rows, "micro_batch_size": rows,
        }  # fmt: skip
    text = {"max_prompt_tokens": 128, "max_completion_tokens": 64 if kind == "ppo" else 128}
    config = {"model": str(path), "text": text, "engine": {"checkpoint_every": 0}} | changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("size", ["tiny", "7 M", pytest.param("30 M", marks=pytest.mark.proofs)])
@pytest.mark.parametrize("kind", ["sft", "reward", "ppo"])
def test_the_estimate_lies_within_a_factor_of_the_measured_peak(
    kind: str, size: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    *shape, rows = SIZES[size]
    path = _model(tmp_path / "model", tokenizer, *shape)
    folder = tmp_path / "run"
    folder.mkdir()
    _ready(kind, folder, path, rows)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind, str(folder)], capture_output=True, text=True, check=True
    )
    measured = int(done.stdout)
    estimated = metric_lines(folder, "estimate")[0]["bytes"]["total"]
    print(f"{kind} {size}: estimated {estimated / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB")
    assert estimated / FACTOR < measured < estimated * FACTOR, (estimated / MIB, measured / MIB)


def test_rankings_of_one_set_are_estimated_as_the_forwards_that_they_share(llama_path: Path, tmp_path: Path) -> None:
    """Sixteen rankings by four people each are of seven sets at most: three that are cut off, and four whole ones."""
    activations = {}
    for people, size in ((1, 7), (1, 16), (4, 16)):
        rows = [row | {"labeler": str(one)} for row in ranking_rows(32) for one in range(people)]
        write_table(tmp_path / "data/rankings.parquet", RANKINGS, rows)
        config = reward_config(llama_path, "chat", batch_size=size, micro_batch_size=size)
        activations[people, size] = needs.require(tmp_path, config)["bytes"]["activations"]
    assert activations[4, 16] == activations[1, 7] < activations[1, 16] / 2


def test_texts_that_ppo_mixes_in_are_counted_as_long_as_they_may_be(llama_path: Path, tmp_path: Path) -> None:
    estimates = []
    reward_path = str(new_reward_model(tmp_path / "reward", llama_path))
    write_table(tmp_path / "data/prompts.parquet", PROMPTS, [{"prompt_id": 0, "prompt": question(0), "split": "train"}])
    write_table(tmp_path / "data/corpus.parquet", CORPUS, [{"text_id": 0, "text": "tea"}])
    for coefficient in (0.0, 1.0):
        config = PPOConfig(
            str(llama_path), reward_path, str(llama_path), text=TextConfig("chat", 96, 24), micro_batch_size=4,
            ptx_coefficient=coefficient,
        )  # fmt: skip
        estimates.append(needs.require(tmp_path, config)["bytes"]["activations"])
    assert estimates[1] == memory.activations(memory.shape(str(llama_path)), 4 * (96 + 24)) > estimates[0]


def test_a_run_that_cannot_fit_is_refused_before_a_weight_is_loaded(
    llama_path: Path,
    demonstrations: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = demonstrations()
    text = {"max_prompt_tokens": 96, "max_completion_tokens": 48}
    config = {"model": str(llama_path), "text": text, "batch_size": 8, "micro_batch_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(memory, "available", lambda engine: 50 * MIB)
    monkeypatch.setattr("rlhf.learning.sft.load_policy", None)  # whoever calls it crashes
    assert main(["sft", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("memory: found 0.05 GiB free, expected the 0.0") and "lower micro_batch_size" in said
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "data"]
    monkeypatch.undo()
    monkeypatch.setattr(memory, "available", lambda engine: 50 * MIB)
    (folder / "config.json").write_text(json.dumps(config | {"engine": {"check_memory": False}}))
    assert main(["sft", str(folder)]) == 0


def test_a_limit_of_a_control_group_counts_less_what_is_used_and_cannot_be_given_back(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    (root / "a/b").mkdir(parents=True)
    membership.write_text("0::/a/b\n")
    for folder, limit, used in ((root / "a", "1000", "700"), (root / "a/b", "max", "600")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(used)
    (root / "a/memory.stat").write_text("anon 5\ninactive_file 150\n")
    assert memory._limits(root, membership) == [450]
    assert 0 < memory.available(EngineConfig(device="cpu")) < 1 << 50


def test_the_estimate_is_the_first_line_and_stands_there_once(
    llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    folder = demonstrations()
    for _ in range(2):  # the second start goes on behind the last checkpoint
        sft.run(folder, sft_config(llama_path, engine=EngineConfig(checkpoint_every=1)))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    phases = [line["phase"] for line in lines if line["phase"] != "checkpoint_sample"]
    assert phases == ["estimate"] + ["train"] * (len(phases) - 1) and len(phases) > 2
