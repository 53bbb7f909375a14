"""Rivals: versions that no run here made: a model behind an OpenAI-compatible endpoint, or a file of answers.

What an endpoint is never changes: another model, address or limit is another version, under another name.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from rlhf import versions
from rlhf.errors import Refusal
from rlhf.learning import configs
from rlhf.models import ModelVersion, Project

OURS = re.compile(r"(v|rm|bon|value)\d+|base", re.IGNORECASE)  # names that the loop gives its own versions
FIELDS = ("base_url", "model", "interface", "api_key_env", "timeout_s", "num_attempts", "num_parallel")
MAX_ADDRESS = 500


class BadRival(Refusal):
    """The name or the endpoint can't be used; says what was found and what was expected."""


class NameTaken(Refusal):
    status = 409


def register(*, project: Project, body: object) -> ModelVersion:
    """The version that {"name", "kind", "endpoint"} asks for. Raises BadRival, NameTaken."""
    if not isinstance(body, dict):
        raise BadRival(f"expected an object with a name and a kind, found {type(body).__name__}")
    kind = body.get("kind", ModelVersion.Kind.ENDPOINT)
    if kind == ModelVersion.Kind.ENDPOINT:
        return register_endpoint(project=project, name=body.get("name", ""), endpoint=body.get("endpoint"))
    if kind == ModelVersion.Kind.ANSWERS:
        return register_answers(project=project, name=body.get("name", ""))
    raise BadRival(f"kind: expected endpoint or answers, found {str(kind)[:40]!r}")


def register_endpoint(*, project: Project, name: str, endpoint: object) -> ModelVersion:
    """A version behind a server; the same one again is found. Raises BadRival, NameTaken."""
    server = checked_endpoint(value=endpoint)
    checked = checked_name(value=name)
    version = versions.register(project=project, kind=ModelVersion.Kind.ENDPOINT, name=checked, endpoint=server)
    if version.kind != ModelVersion.Kind.ENDPOINT or version.endpoint != server:
        raise NameTaken(f"name: {checked} is another version already; a changed endpoint needs a name of its own")
    return version


def register_answers(*, project: Project, name: str) -> ModelVersion:
    """A version that is a file of answers; the same name again is found. Raises BadRival, NameTaken."""
    checked = checked_name(value=name)
    version = versions.register(project=project, kind=ModelVersion.Kind.ANSWERS, name=checked)
    if version.kind != ModelVersion.Kind.ANSWERS:
        raise NameTaken(f"name: {checked} is a version already, and no file of answers")
    return version


def checked_name(*, value: object) -> str:
    """1 to 60 printable characters, and no name that the loop gives. Raises BadRival."""
    name = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise BadRival(f"name: expected 1 to 60 printable characters, found {str(value)[:80]!r}")
    if OURS.fullmatch(name):
        raise BadRival(f"name: expected one that the loop doesn't give (v1, rm1, bon1, value1, base), found {name!r}")
    return name


def checked_endpoint(*, value: object) -> dict[str, Any]:
    """Fields of ServerConfig, those that were given and the interface. Raises BadRival: also for a key in the address.

    The interface is chat: a server's tokenizer is its own, so there are no token ids that we could send.
    """
    if not isinstance(value, dict):
        raise BadRival(f"endpoint: expected an object, found {type(value).__name__}")
    if unknown := sorted(set(map(str, value)) - set(FIELDS)):
        raise BadRival(f"endpoint: expected keys among {', '.join(FIELDS)}, found {', '.join(unknown)[:200]}")
    server = {"interface": "chat", **{key: given for key, given in value.items() if given not in (None, "")}}
    if server["interface"] != "chat":
        raise BadRival(
            f"endpoint.interface: expected chat, found {str(server['interface'])[:40]!r}: we have no token ids of it"
        )
    try:
        configs.from_dict("sample", {"sampling": {"backend": "openai", "server": server}})
    except configs.ConfigError as error:
        raise BadRival(f"endpoint: {error}") from error
    _check_address(server["base_url"])
    if len(server["model"]) > MAX_ADDRESS or not server["model"].isprintable():
        raise BadRival(f"endpoint.model: expected at most {MAX_ADDRESS} printable characters")
    return server


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadRival(f"endpoint.base_url: expected an address such as https://host/v1, found {error}") from error
    if not host or len(url) > MAX_ADDRESS or not url.isprintable() or " " in url:
        raise BadRival(f"endpoint.base_url: expected an address such as https://host/v1, found {url[:80]!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadRival(
            "endpoint.base_url: expected no user, password, query or fragment in it; a key stands in the worker's "
            "environment, under the name that api_key_env gives"
        )
