"""Runs for others, by real children: an endpoint is asked by a worker that holds no device, an adapter is merged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from django.conf import settings
from django.utils import timezone
from transformers import AutoModelForCausalLM

from rlhf import completions, deliveries, requests, storage, tries, versions
from rlhf.learning import lora
from rlhf.learning.configs import LoRAConfig
from rlhf.learning.policy import load_policy, save_policy
from rlhf.models import ModelVersion, Project, Role, Run
from tests.learning.model_server import ModelServer
from tests.rlhf.rows import member, version
from tests.workers import world
from workers.execute import Worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(llama_path: Path) -> Project:
    return world.project(model=llama_path, sample={"text": {"max_prompt_tokens": 64, "max_completion_tokens": 6}})


@pytest.fixture
def server(llama_path: Path) -> Iterator[ModelServer]:
    started = ModelServer(str(llama_path))
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def test_an_endpoint_answers_a_try_without_a_model_a_tokenizer_or_a_device(
    project: Project, server: ModelServer, cpu: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_API_KEY", "secret")
    endpoint = {"base_url": server.url, "model": "tiny", "api_key_env": "TINY_API_KEY"}
    body = {"name": "large", "endpoint": endpoint}
    rival = requests.register_rival(project=project, body=body, now=timezone.now())
    author = member(project, Role.RESEARCHER, "remy")
    key = tries.ask(
        project=project, author=author, text="Tell me about the tea", versions=[rival], num_samples=2,
        temperature=0.5, now=timezone.now(),
    )  # fmt: skip
    network = Worker(resource=Run.Resource.NETWORK, name="network-test", starter=cpu.starter)
    assert network.work() == 1

    (answer,) = tries.answers(project=project, key=key)
    assert (answer.run.state, answer.run.error) == (Run.State.SUCCEEDED, "")
    assert len(answer.completions) == 2 and completions.visible().count() == 2
    assert {body["temperature"] for body in server.asked} == {0.5} and set(server.keys) == {"Bearer secret"}
    (config,) = Path(settings.RUNS_ROOT).glob("*/1/config.json")
    assert "secret" not in config.read_text()


def test_an_adapter_is_merged_by_a_worker_into_weights_that_load_alone(
    project: Project, llama_path: Path, tmp_path: Path, cpu: Worker
) -> None:
    policy = load_policy(str(llama_path), torch.device("cpu"))
    lora.add(policy.model, LoRAConfig(rank=2), seed=1)
    save_policy(policy, tmp_path / "adapter")
    path = versions.store_weights(project=project, folder=tmp_path / "adapter", weights_sha256="a" * 64)
    adapter = version(project, "v1", 1, path=path, weights_sha256="a" * 64)
    assert versions.is_adapter(version=adapter)
    deliveries.ask(version=adapter, now=timezone.now())
    assert cpu.work() == 1

    run = deliveries.merging(version=adapter)
    assert run is not None and (run.state, run.error) == (Run.State.SUCCEEDED, "")
    folder = storage.local_folder(name=run.result["path"])
    assert not (folder / "adapter_config.json").exists()
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert sum(p.numel() for p in merged.parameters()) == run.result["metrics"]["num_parameters"]
    assert ModelVersion.objects.filter(made_by=run).count() == 0
