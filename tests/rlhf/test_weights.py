"""Weights: whole ones come at once, an adapter's when a run has merged them, and never by a web process."""

import io
import tarfile

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse

from rlhf.models import Run
from tests.rlhf.rows import version


def stored(name: str, **files: bytes) -> str:
    for file, content in files.items():
        default_storage.save(f"{name}/{file.replace('__', '.')}", ContentFile(content))
    return name


@pytest.fixture
def adapter(project):
    path = stored("versions/a", adapter_config__json=b"{}", adapter_model__safetensors=b"low rank")
    return version(project, "v1", 1, path=path, weights_sha256="a" * 64)


@pytest.fixture
def url(adapter) -> str:
    return reverse("weights", args=["tulip", adapter.pk])


def names(answer) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(answer.streaming_content))) as tar:
        return tar.getnames()


def test_whole_weights_come_at_once(client, project, researcher):
    whole = version(project, "v0", 0, path=stored("versions/w", model__safetensors=b"all"), weights_sha256="b" * 64)
    client.force_login(researcher)
    assert names(client.get(reverse("weights", args=["tulip", whole.pk]))) == ["tulip-v0/model.safetensors"]
    client.post(reverse("weights", args=["tulip", whole.pk]))
    assert not Run.objects.exists()  # there is nothing to merge


def test_an_adapter_is_merged_by_a_run_that_is_asked_for_once(client, url, adapter, researcher):
    client.force_login(researcher)
    assert b"Merge the weights" in client.get(url).content and not Run.objects.exists()
    for _ in range(2):
        assert b"Waiting for a worker" in client.post(url, follow=True).content
    run = Run.objects.get()
    assert (run.kind, run.resource, run.policy, run.state) == ("deliver", "cpu", adapter, "queued")
    assert client.get(f"{url}/live").status_code == 200
    assert b"Waiting" in client.get(url, {"merged": "1"}).content  # not before it is done


def test_the_merged_weights_are_those_of_the_run_and_the_adapter_stays_to_be_had(client, url, researcher):
    client.force_login(researcher)
    client.post(url)
    Run.objects.update(state="succeeded", result={"path": stored("versions/m", model__safetensors=b"merged")})
    assert client.get(f"{url}/live").status_code == 286
    assert b"Download the merged weights" in client.get(url).content
    assert names(client.get(url, {"merged": "1"})) == ["tulip-v1/model.safetensors"]
    assert "tulip-v1-adapter/adapter_config.json" in names(client.get(url, {"adapter": "1"}))


def test_a_merge_that_failed_says_why_and_can_be_tried_again(client, url, researcher):
    client.force_login(researcher)
    client.post(url)
    Run.objects.update(state="failed", error="the base <model> is gone")
    page = client.get(url).content.decode()
    assert "the base &lt;model&gt; is gone" in page and "Merge the weights" in page
    client.post(url)
    assert Run.objects.get().state == "queued"


def test_only_readers_get_weights_or_ask_for_them(client, url, labeler, stranger):
    assert client.get(url).status_code == 302
    for user, status in ((labeler, 403), (stranger, 404)):
        client.force_login(user)
        assert [client.get(url).status_code, client.post(url).status_code] == [status] * 2
        assert client.get(f"{url}/live").status_code == status
    assert not Run.objects.exists()
