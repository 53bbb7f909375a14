"""The judges that a project asks besides people and its reward models: `judges` of its loop's settings.

[{"name": "gpt", "kind": "llm", "server": {"base_url": "https://host/v1", "model": "m"}, "verdict": "logprobs"},
 {"name": "answers", "kind": "verifier", "verifier": "number"}]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from rlhf.errors import Refusal
from rlhf.learning import configs, verdicts
from rlhf.learning.configs import JudgeConfig
from rlhf.learning.configs.judging import LANGUAGE_MODELS
from rlhf.models import Judge

BACKENDS = {Judge.Kind.LLM: LANGUAGE_MODELS, Judge.Kind.VERIFIER: ("verifier",)}  # the first one where none is named
MAX_NAME = 80
MOST = 20  # judges of one project


class BadJudges(Refusal):
    pass


@dataclass(frozen=True)
class ConfiguredJudge:
    name: str
    configuration: dict[str, Any]  # fields of JudgeConfig, as a judge run stores them
    config: JudgeConfig


def parse(values: object) -> list[ConfiguredJudge]:
    """Raises BadJudges that names the judge, the field, what was found and what was expected."""
    if not isinstance(values, list) or len(values) > MOST:
        raise BadJudges(f"judges: expected a list of at most {MOST} objects, found {str(values)[:80]}")
    found = [_parse(f"judges[{number}]", value) for number, value in enumerate(values)]
    for number, judge in enumerate(found):
        for before in found[:number]:
            if judge.name == before.name:
                raise BadJudges(f"judges[{number}].name: expected a name of its own, found {judge.name!r} twice")
            if verdicts.settings(judge.config) == verdicts.settings(before.config):
                raise BadJudges(f"judges[{number}]: expected another judge, found {before.name!r} once more")
    return found


def _parse(where: str, value: object) -> ConfiguredJudge:
    if not isinstance(value, dict):
        raise BadJudges(f"{where}: expected an object with a name and a kind, found {str(value)[:80]}")
    name, kind = value.get("name"), value.get("kind")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME or not name.isprintable():
        raise BadJudges(f"{where}.name: expected 1 to {MAX_NAME} printable characters, found {str(name)[:80]!r}")
    if not isinstance(kind, str) or kind not in BACKENDS:
        raise BadJudges(f"{where}.kind: expected llm or verifier, found {str(kind)[:40]!r}")
    backends = BACKENDS[Judge.Kind(kind)]
    given = {key: field for key, field in value.items() if key not in ("name", "kind")}
    configuration = {"backend": backends[0], **given}
    if configuration["backend"] not in backends:
        expected = " or ".join(backends)
        raise BadJudges(f"{where}.backend: expected {expected} for the kind {kind}, found {given['backend']!r}")
    try:
        config = cast(JudgeConfig, configs.from_dict("judge", configuration))
    except configs.ConfigError as error:
        raise BadJudges(f"{where}: {error}") from error
    _check_address(where, config.server.base_url)
    return ConfiguredJudge(name.strip(), configuration, config)


def _check_address(where: str, url: str | None) -> None:
    """A key stands in the worker's environment: settings are shown to every manager, and copied into run folders."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadJudges(
            f"{where}.server.base_url: expected an address such as https://host/v1, found {error}"
        ) from error
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        raise BadJudges(
            f"{where}.server.base_url: expected an address such as https://host/v1, without user, password, query or "
            "fragment; a key stands in the worker's environment, under the name that server.api_key_env gives"
        )
