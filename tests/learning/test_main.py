"""`python -m rlhf.learning KIND FOLDER`: what its exit codes and its one sentence mean."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from rlhf.learning.__main__ import main
from rlhf.learning.configs import SampleConfig, SFTConfig, TextConfig, to_dict

TEXT = TextConfig(max_prompt_tokens=96, max_completion_tokens=48)


def configure(folder: Path, config: SFTConfig | SampleConfig) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(to_dict(config)))


def refuse(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run it; expect exit code 2, one line on standard error, and nothing made. Returns the line."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([kind, str(folder)]) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_a_second_start_of_a_finished_run_does_nothing(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = demonstrations()
    configure(folder, SFTConfig(model=str(llama_path), text=TEXT, batch_size=8, micro_batch_size=8))
    assert main(["sft", str(folder)]) == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["sft", str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_no_such_model_path(demonstrations: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = demonstrations()
    configure(folder, SFTConfig(model=str(folder / "nothing"), text=TEXT))
    assert refuse("sft", folder, capsys) == f"{folder}/nothing: no such model directory\n"


def test_a_corrupt_snapshot(
    llama_path: Path, demonstrations: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = demonstrations()
    data = folder / "data/demonstrations.parquet"
    data.write_bytes(data.read_bytes()[:200])
    configure(folder, SFTConfig(model=str(llama_path), text=TEXT))
    assert f"{data}: expected a Parquet file, found" in refuse("sft", folder, capsys)


def test_no_snapshot_at_all(llama_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, SampleConfig(model=str(llama_path), text=TEXT))
    assert "data/prompts.parquet: expected a Parquet file" in refuse("sample", tmp_path, capsys)


def test_a_model_without_a_chat_template(
    gpt2_path: Path, demonstrations: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = demonstrations()
    configure(folder, SFTConfig(model=str(gpt2_path), text=TEXT))
    assert "found a tokenizer without a chat template" in refuse("sft", folder, capsys)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{", "config.json: expected a JSON object"),
        ("{}", "sft: missing keys ['model']"),
        ('{"model": "m", "speed": 1}', "sft: unknown keys ['speed']"),
        ('{"model": "m", "engine": {"seed": "x"}}', "sft.engine.seed: expected int, found 'x'"),
        ('{"model": "m", "engine": {"seed": -1}}', "engine.seed: expected 0 <= x < 2^63, found -1"),
        ('{"model": "m", "optimizer": {"beta2": 1.0}}', "optimizer.beta2: expected 0 <= x < 1, found 1.0"),
        ('{"model": "m", "optimizer": {"eps": 0}}', "optimizer.eps: expected more than 0, found 0.0"),
    ],
)
def test_an_unusable_configuration(
    config: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(config)
    assert expected in refuse("sft", tmp_path, capsys)


def test_scoring_with_a_batch_size_of_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"reward_model": "m", "batch_size": 0}')
    assert "batch_size: expected at least 1, found 0" in refuse("judge", tmp_path, capsys)


def test_a_kl_horizon_of_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"model": "m", "reward_model": "r", "sft_model": "s", "kl_horizon": 0}')
    assert "kl_horizon: expected at least 1, found 0" in refuse("ppo", tmp_path, capsys)


def test_sigterm_while_a_model_loads_is_a_stop_and_no_broken_model(
    llama_path: Path, prompts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prompts()
    configure(folder, SampleConfig(model=str(llama_path), text=TEXT))

    def be_told_to_stop(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(AutoConfig, "from_pretrained", be_told_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["sample", str(folder)]) == 3
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "stopped before the first step\n"


def test_an_unknown_kind_or_too_few_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "usage: python -m rlhf.learning KIND FOLDER" in refuse("guess", tmp_path, capsys)
    assert main([]) == 2


def test_from_a_shell_standard_error_holds_the_sentence_alone(tmp_path: Path, prompts: Callable[..., Path]) -> None:
    folder = prompts()
    configure(folder, SampleConfig(model="/nowhere/model", text=TEXT))
    done = subprocess.run(
        [sys.executable, "-m", "rlhf.learning", "sample", str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "/nowhere/model: no such model directory\n")


def test_estimates_and_configurations_need_no_torch() -> None:
    code = (
        "import sys, rlhf.learning.__main__, rlhf.learning.estimate, rlhf.learning.tables, rlhf.learning.records;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
