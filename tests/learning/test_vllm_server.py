"""A vLLM server is up while a run needs it and gone afterwards. vLLM is a stand-in here: the same command line and
HTTP interface, answered from a tiny model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rlhf.learning import judge, sampling
from rlhf.learning.checkpoint import Stopped
from rlhf.learning.configs import JudgeConfig, SampleConfig, SamplingConfig, ServerConfig
from rlhf.learning.tables import JUDGE_ROWS, SAMPLE_ROWS, read_table
from rlhf.learning.vllm_server import NoServer, started
from tests.learning.conftest import wait_for
from tests.learning.rankings import text_config
from tests.learning.test_judge import pairs

ROOT = Path(__file__).resolve().parent.parent.parent
SERVES = "import sys\nfrom tests.learning.model_server import main\nmain(sys.argv[1:])\n"
IS_HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
BREAKS = "import sys\nprint('loading', flush=True)\nsys.exit('CUDA: no such device')\n"
NEVER_READY = "import time\nprint('still loading', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a package named vllm on the path whose server is this program."""

    def install(program: str) -> None:
        folder = tmp_path / "installed/vllm/entrypoints/openai"
        folder.mkdir(parents=True)
        for package in (folder, folder.parent, folder.parent.parent):
            (package / "__init__.py").touch()
        (folder / "api_server.py").write_text(program)
        monkeypatch.syspath_prepend(str(tmp_path / "installed"))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'installed'}{os.pathsep}{ROOT}")

    return install


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_run_starts_a_server_with_its_policy_and_stops_it(
    vllm: Callable[[str], None], llama_path: Path, prompts: Callable[..., Path]
) -> None:
    vllm(SERVES)
    config = SampleConfig(
        model=str(llama_path),
        text=text_config("chat", max_completion_tokens=8),
        sampling=SamplingConfig(num_samples=1, temperature=0.0, backend="vllm"),
    )
    sampling.run(prompts("served", count=2), config)
    sampling.run(prompts("local", count=2), replace(config, sampling=replace(config.sampling, backend="local")))
    served, local = (read_table(prompts(n, count=2) / "rows.parquet", SAMPLE_ROWS) for n in ("served", "local"))
    for row in (*served, *local):
        row["log_probability"] = 0.0
    assert served == local  # to the token: the server was asked for ids
    said = (prompts("served", count=2) / "vllm.log").read_text()
    assert "--host 127.0.0.1" in said and "--generation-config vllm" in said and "--served-model-name policy" in said


def test_a_judge_of_pairs_has_a_server_of_its_own(
    vllm: Callable[[str], None], llama_path: Path, tmp_path: Path
) -> None:
    vllm(SERVES)
    folder, config = pairs(tmp_path / "run", count=1), JudgeConfig(backend="vllm", judge_model=str(llama_path))
    patience = ServerConfig(num_attempts=1)
    judge.run(folder, replace(config, max_reply_tokens=4, max_unreadable_share=1.0, server=patience))
    (row,) = read_table(folder / "rows.parquet", JUDGE_ROWS)
    assert row["winner_ab"] == "unreadable"  # an untrained model says nothing of use
    assert "--served-model-name policy" in (folder / "vllm.log").read_text()


def test_the_server_is_gone_after_the_block_and_after_an_error(vllm: Callable[[str], None], tmp_path: Path) -> None:
    vllm(IS_HEALTHY)
    urls = []
    with started(ServerConfig(), "model", tmp_path, lambda: None) as url:
        assert _is_up(url)
        urls.append(url)
    with pytest.raises(Stopped), started(ServerConfig(), "model", tmp_path, lambda: None) as url:
        urls.append(url)
        raise Stopped("stopped")
    assert urls[0] != urls[1] and not any(_is_up(url) for url in urls)


def test_the_server_dies_with_a_run_that_is_killed(vllm: Callable[[str], None], tmp_path: Path) -> None:
    vllm(IS_HEALTHY)
    program = (
        "import sys, time, pathlib\n"
        "from rlhf.learning.configs import ServerConfig\n"
        "from rlhf.learning.vllm_server import started\n"
        "with started(ServerConfig(), sys.argv[1], pathlib.Path(sys.argv[2]), lambda: None) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(600)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, "model", str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert run.stdout is not None
    url = run.stdout.readline().strip()
    assert _is_up(url)
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    wait_for(lambda: not _is_up(url))


def test_a_server_that_breaks_or_never_answers_is_told_with_its_last_words(
    vllm: Callable[[str], None], tmp_path: Path
) -> None:
    vllm(BREAKS)
    with (
        pytest.raises(NoServer, match="found that it ended with code 1; it said: loading / CUDA: no such device"),
        started(ServerConfig(), "model", tmp_path, lambda: None),
    ):
        pass
    (tmp_path / "installed/vllm/entrypoints/openai/api_server.py").write_text(NEVER_READY)
    with (
        pytest.raises(
            NoServer, match=r"expected an answer of http://127.0.0.1:\d+/health within 4 s, found none; it said"
        ),
        started(ServerConfig(start_timeout_s=4.0), "model", tmp_path, lambda: None),
    ):
        pass


def test_where_vllm_is_not_installed_one_sentence_says_so(llama_path: Path, prompts: Callable[..., Path]) -> None:
    config = SampleConfig(model=str(llama_path), sampling=SamplingConfig(backend="vllm"))
    with pytest.raises(NoServer, match="backend: found vllm, which is not installed here; install it, or"):
        sampling.run(prompts(), config)
