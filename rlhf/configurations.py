"""A run's configuration as its page shows it: every field, the defaults too, those that differ marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf.learning import configs
from rlhf.models import Run
from rlhf.run_kinds import MODELS, OPTIONAL, models


@dataclass(frozen=True)
class Setting:
    """One field, nested ones with a dot in the name."""

    name: str
    value: Any
    default: Any
    differs: bool
    has_default: bool = True


def settings(*, run: Run) -> list[Setting]:
    """Every field of the run's kind, those that differ from the default first; what is stored where it isn't valid any
    more."""
    needed = set(MODELS.get(run.kind, ())) - OPTIONAL.get(Run.Kind(run.kind), set())
    paths = dict.fromkeys(needed, "") | {field: version.name for field, version in models(run=run).items()}
    try:
        config = configs.from_dict(run.kind, {**run.configuration, **paths})
    except configs.ConfigError:
        return [Setting(name, value, None, True, False) for name, value in _flat(run.configuration)]
    defaults = dict(_flat(_defaults(type(config))))
    found = [
        Setting(name, value, defaults.get(name), name not in defaults or value != defaults[name], name in defaults)
        for name, value in _flat(configs.to_dict(config))
    ]
    return sorted(found, key=lambda setting: not setting.differs)


def _defaults(kind: type) -> dict[str, Any]:
    """The defaults of a dataclass; a field without one is left out."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            made = field.default_factory()
            found[field.name] = dataclasses.asdict(made) if dataclasses.is_dataclass(made) else made  # type: ignore[arg-type]
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
