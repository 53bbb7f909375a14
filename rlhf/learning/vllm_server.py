"""A vLLM server for one run: started with its model, waited for, and gone when the run is, however that ends.

vLLM is looked for only when it is asked for; Hone never installs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from rlhf.learning import tether
from rlhf.learning.configs import InputError, ServerConfig
from rlhf.learning.endpoint import Endpoint

NAME = "policy"  # of the model, to the server, whatever it is for
LOG = "vllm.log"
_POLL_S = 0.2
_STOP_S = 10.0  # between SIGTERM and SIGKILL; a worker waits 15 for the whole run


class NoServer(InputError):
    """vLLM isn't installed here, or its server didn't come up; the message says which, and what it last said."""


@contextlib.contextmanager
def endpoint(
    backend: str, server: ServerConfig, model: str, folder: Path, tick: Callable[[], None]
) -> Iterator[Endpoint]:
    """The server that is named (backend openai), or one of our own with `model` (vllm), while the block runs."""
    if backend == "openai":
        assert server.base_url is not None  # checked by the configuration
        yield _endpoint(server, server.base_url, server.model, os.environ.get(server.api_key_env, ""))
        return
    with started(server, model, folder, tick) as url:
        yield _endpoint(server, f"{url}/v1", NAME, "")


@contextlib.contextmanager
def started(server: ServerConfig, model: str, folder: Path, tick: Callable[[], None]) -> Iterator[str]:
    """A vLLM server with `model` on a free port of this machine alone; gives its address.

    Raises:
        NoServer: vLLM can't be imported; its process ended, or didn't answer /health, within start_timeout_s.
    """
    if importlib.util.find_spec("vllm") is None:
        raise NoServer(
            "backend: found vllm, which is not installed here; install it, or name a server (backend openai)"
        )
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / LOG
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(server, model, port), stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        _wait_until_healthy(process, url, server.start_timeout_s, log, tick)
        yield url
    finally:
        _stop(process)


def _command(server: ServerConfig, model: str, port: int) -> list[str]:
    """tether: the server dies with this process, even by SIGKILL."""
    return [
        *(sys.executable, tether.__file__, str(os.getpid())),
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", NAME),
        *("--host", "127.0.0.1", "--port", str(port), "--gpu-memory-utilization", str(server.memory_share)),
        *("--generation-config", "vllm"),  # the whole distribution: no top-k or top-p out of the model's folder
    ]


def _wait_until_healthy(
    process: subprocess.Popen[bytes], url: str, timeout_s: float, log: Path, tick: Callable[[], None]
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        tick()
        if process.poll() is not None:
            raise NoServer(f"vLLM: expected a server at {url}, found that it ended with {_end(process, log)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=_POLL_S, trust_env=False).status_code == 200:
                return
        time.sleep(_POLL_S)
    raise NoServer(
        f"vLLM: expected an answer of {url}/health within {timeout_s:g} s, found none; it said: {_last(log)}"
    )


def _end(process: subprocess.Popen[bytes], log: Path) -> str:
    return f"code {process.returncode}; it said: {_last(log)}"


def _last(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-500:] or "nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with the processes of its group, which are its engines."""
    for number, wait_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    # The second signal is for engines that outlive their server.


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _endpoint(server: ServerConfig, url: str, model: str, api_key: str) -> Endpoint:
    return Endpoint(
        url=url,
        model=model,
        api_key=api_key,
        num_attempts=server.num_attempts,
        timeout_s=server.timeout_s,
        num_parallel=server.num_parallel,
        max_response_bytes=server.max_response_bytes,
    )
