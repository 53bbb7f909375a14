"""Files by content: put once under a name that holds their hash, on whatever storage the settings name.

Writing a file to storage is not atomic, so a killed worker leaves half a file: what is there already counts only if its
hash is right.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

CHUNK = 1 << 20


def sha256(file: BinaryIO | File[Any]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return sha256(file)


def put(*, name: str, path: Path) -> str:
    """Store a file under exactly this name, and return its hash. Stored already: nothing is written."""
    wanted = file_sha256(path)
    while not _holds(name, wanted):
        default_storage.delete(name)
        with path.open("rb") as file:
            saved = default_storage.save(name, File(file))
        if saved == name:
            break
        default_storage.delete(saved)  # somebody else stored it at the same time, and this one was given another name
    return wanted


def _holds(name: str, wanted: str) -> bool:
    if not default_storage.exists(name):
        return False
    with default_storage.open(name, "rb") as stored:
        return sha256(stored) == wanted


def put_folder(*, name: str, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(name=f"{name}/{path.relative_to(folder).as_posix()}", path=path)


def local_folder(*, name: str) -> Path:
    """A folder of storage as a path on this machine: the place itself, or a copy under HONE_VAR."""
    try:
        return Path(default_storage.path(name))
    except NotImplementedError:  # not a local storage
        return _cached(name)


def _cached(name: str) -> Path:
    """Copied under a temporary name and renamed, so that two workers that copy at once both find it whole."""
    target = settings.VAR / "cache" / name
    if target.is_dir():
        return Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    _copy(name, draft)
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(draft)  # the other worker was first
    return Path(target)


def _copy(name: str, target: Path) -> None:
    target.mkdir(exist_ok=True)
    folders, files = default_storage.listdir(name)
    for folder in folders:
        _copy(f"{name}/{folder}", target / folder)
    for file in files:
        with default_storage.open(f"{name}/{file}", "rb") as source, (target / file).open("wb") as copy:
            shutil.copyfileobj(source, copy, CHUNK)
