"""Files as answers: the stored bytes, with length, hash and ranges, and folders as a tar that is never held whole."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from rlhf.errors import Refusal

CHUNK = 1 << 18
ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Gone(Refusal):
    status = 410


def file_response(
    *, request: HttpRequest, name: str, sha256: str, filename: str, content_type: str
) -> HttpResponseBase:
    """A stored file. Answers HEAD, If-None-Match and one byte range with If-Range. Raises Gone."""
    if not default_storage.exists(name):
        raise Gone(f"{filename}: the file is no longer in storage; its sha256 was {sha256}")
    size, etag = default_storage.size(name), f'"{sha256}"'
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers={"ETag": etag})
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": content_type,
        "Content-Disposition": f'attachment; filename="{filename}"',
    }
    start, end = 0, size
    if request.headers.get("If-Range", etag) == etag and (wanted := _range(request.headers.get("Range", ""), size)):
        start, end = wanted
        if start >= end:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}", "ETag": etag})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = 206 if "Content-Range" in headers else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(_chunks(name, start, end), status=status, headers=headers)


def immutable_response(
    *, request: HttpRequest, sha256: str, content_type: str, content: Callable[[], str], is_permanent: bool = True
) -> HttpResponse:
    """A text that is named by its hash. Answers If-None-Match without asking for the text.

    Not `is_permanent`: the address may mean another text later, so that a browser has to ask again.
    """
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, {'max-age=31536000, immutable' if is_permanent else 'no-cache'}",
    }
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(content(), headers={**headers, "Content-Type": content_type})


def folder_response(*, name: str, filename: str) -> StreamingHttpResponse:
    """A stored folder as an uncompressed tar under the name `filename`. Raises Gone."""
    files = sorted(_files(name, ""))
    if not files:
        raise Gone(f"{filename}: the files are no longer in storage")
    headers = {
        "Content-Type": "application/x-tar",
        "Content-Disposition": f'attachment; filename="{filename}.tar"',
        "Content-Length": str(sum(map(len, _headers(files, filename))) + sum(_padded(s) for _, s in files) + 1024),
    }
    return StreamingHttpResponse(_tar(name, files, filename), headers=headers)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the one range asked for; None where the whole file is to be sent."""
    match = ONE_RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def _chunks(name: str, start: int, end: int) -> Iterator[bytes]:
    with default_storage.open(name, "rb") as file:
        file.seek(start)
        left = end - start
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _files(folder: str, below: str) -> Iterator[tuple[str, int]]:
    try:
        folders, names = default_storage.listdir(f"{folder}/{below}")
    except FileNotFoundError:
        return
    for name in names:
        yield below + name, default_storage.size(f"{folder}/{below}{name}")
    for inner in folders:
        yield from _files(folder, f"{below}{inner}/")


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _headers(files: list[tuple[str, int]], filename: str) -> Iterator[bytes]:
    for name, size in files:
        info = tarfile.TarInfo(f"{filename}/{name}")
        info.size, info.mode = size, 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)


def _tar(folder: str, files: list[tuple[str, int]], filename: str) -> Iterator[bytes]:
    for (name, size), header in zip(files, _headers(files, filename), strict=True):
        yield header
        yield from _chunks(f"{folder}/{name}", 0, size)
        yield bytes(_padded(size) - size)
    yield bytes(1024)  # two empty blocks end a tar
