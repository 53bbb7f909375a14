"""A snapshot comes as the bytes that the run read: whole, in ranges, by HEAD, and by `datasets` itself."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse
from rest_framework.test import APIClient

from rlhf import tokens
from rlhf.access import Access
from rlhf.models import DatasetSnapshot, Role, Scope


@pytest.fixture
def stored(project, tmp_path) -> tuple[DatasetSnapshot, bytes]:
    path = tmp_path / "rankings.parquet"
    pq.write_table(pa.table({"prompt_id": list(range(1_000)), "ranks": [[1, 2, 2]] * 1_000}), path)
    content = path.read_bytes()
    default_storage.save("s/rankings.parquet", ContentFile(content))
    default_storage.save("s/rankings.jsonl", ContentFile(b'{"prompt_id": 0}\n'))
    row = DatasetSnapshot.objects.create(
        project=project, configuration="rankings", num_rows=1_000, size=len(content), parquet="s/rankings.parquet",
        jsonl="s/rankings.jsonl", sha256=hashlib.sha256(content).hexdigest(),
        jsonl_sha256=hashlib.sha256(b'{"prompt_id": 0}\n').hexdigest(),
    )  # fmt: skip
    return row, content


@pytest.fixture
def api(researcher) -> APIClient:
    client = APIClient()
    client.force_authenticate(researcher)
    return client


def test_the_file_is_whole_and_its_hash_is_the_snapshots(api, stored):
    snapshot, content = stored
    url = reverse("api-snapshot-parquet", args=["tulip", snapshot.pk])
    answer = api.get(url)
    assert answer.getvalue() == content
    assert (
        hashlib.sha256(content).hexdigest()
        == api.get(reverse("api-snapshot", args=["tulip", snapshot.pk])).json()["sha256"]
    )
    assert (answer["Content-Length"], answer["Accept-Ranges"]) == (str(len(content)), "bytes")
    head = api.head(url)
    assert (head.status_code, head["Content-Length"], head.content) == (200, str(len(content)), b"")
    assert api.get(url, HTTP_IF_NONE_MATCH=answer["ETag"]).status_code == 304
    assert api.get(reverse("api-snapshot-jsonl", args=["tulip", snapshot.pk])).getvalue() == b'{"prompt_id": 0}\n'


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, None),
        ("bytes=-8", -8, None),
        ("bytes=0-999999", 0, None),
    ],
)
def test_one_range_is_answered(header, start, end, api, stored):
    snapshot, content = stored
    answer = api.get(reverse("api-snapshot-parquet", args=["tulip", snapshot.pk]), HTTP_RANGE=header)
    wanted = content[start:end]
    assert (answer.status_code, answer.getvalue()) == (206, wanted)
    first = start % len(content)
    assert answer["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(content)}"
    assert answer["Content-Length"] == str(len(wanted))


def test_other_ranges_are_refused_or_ignored(api, stored):
    snapshot, content = stored
    url = reverse("api-snapshot-parquet", args=["tulip", snapshot.pk])
    past = api.get(url, HTTP_RANGE=f"bytes={len(content)}-")
    assert (past.status_code, past["Content-Range"]) == (416, f"bytes */{len(content)}")
    for ignored in ("bytes=0-1,4-5", "lines=1-2", "bytes=-", "nonsense", "bytes=5-2"):
        assert api.get(url, HTTP_RANGE=ignored).status_code == 200
    assert api.get(url, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE='"other"').status_code == 200


def test_a_withdrawn_file_answers_410(api, stored):
    snapshot, _ = stored
    default_storage.delete(snapshot.parquet)
    answer = api.get(reverse("api-snapshot-parquet", args=["tulip", snapshot.pk]))
    assert answer.status_code == 410 and snapshot.sha256 in answer.json()["detail"]


# Naming the apps lets PostgreSQL empty the tables by CASCADE: knox's own, unused token table points at auth_user too.
@pytest.mark.django_db(transaction=True, available_apps=settings.INSTALLED_APPS)
def test_load_dataset_reads_it_with_a_token(live_server, stored, researcher, project, tmp_path):
    snapshot, _ = stored
    _, plain = tokens.create(access=Access(researcher, project, Role.RESEARCHER, "x"), scope=Scope.READ, name="")
    url = live_server.url + reverse("api-snapshot-parquet", args=["tulip", snapshot.pk])
    headers = {"Authorization": f"Token {plain}"}
    rows = load_dataset(
        "parquet",
        data_files=url,
        storage_options={"client_kwargs": {"headers": headers}},
        cache_dir=str(tmp_path / "cache"),
    )
    assert rows["train"].num_rows == 1_000 and rows["train"][0]["ranks"] == [1, 2, 2]
