"""Every text of the pages has a translation with the same placeholders, and the compiled files are fresh."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Catalog, Message

from config import messages

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd%]")
CATALOGS = [(language, domain) for language in messages.translated() for domain in messages.SOURCES]


def _texts(value: str | tuple[str, ...] | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _keys(catalog: Catalog) -> set[tuple[str | None, str]]:
    return {(message.context, _texts(message.id)[0]) for message in catalog if message.id}


def _lost(message: Message) -> str:
    """What is wrong with the translation; empty where nothing is."""
    translations = _texts(message.string)
    if not translations or not all(text.strip() for text in translations):
        return f"{message.id!r}: no translation"
    wanted = set(PLACEHOLDER.findall(_texts(message.id)[-1]))
    for text in translations:
        found = set(PLACEHOLDER.findall(text))
        if found != wanted:
            return f"{message.id!r}: expected the placeholders {sorted(wanted)}, found {sorted(found)} in {text!r}"
    return ""


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_the_catalog_has_each_text_of_the_sources_and_no_other(language: str, domain: str) -> None:
    in_sources = _keys(messages.collected(domain=domain))
    in_catalog = _keys(messages.stored(language=language, domain=domain))
    assert in_sources - in_catalog == set(), "not in the .po file: run `make messages`, then translate"
    assert in_catalog - in_sources == set(), "no longer in the sources: run `make messages`"


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_each_text_is_translated_with_its_placeholders(language: str, domain: str) -> None:
    catalog = messages.stored(language=language, domain=domain)
    assert [wrong for message in catalog if message.id and (wrong := _lost(message))] == []


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_the_compiled_file_is_what_the_catalog_compiles_to(language: str, domain: str) -> None:
    path = messages.po_path(language=language, domain=domain).with_suffix(".mo")
    catalog = messages.stored(language=language, domain=domain)
    assert path.read_bytes() == messages.compiled(catalog), f"{path} is older than its .po file: run `make messages`"


def test_texts_of_templates_python_and_scripts_are_collected() -> None:
    assert (None, "Skip to content") in _keys(messages.collected(domain="django"))


def test_a_translation_that_loses_a_placeholder_is_found() -> None:
    assert "expected the placeholders ['%(num)s']" in _lost(Message("%(num)s open", "还有任务"))
    assert _lost(Message("%(num)s open", "还有 %(num)s 个")) == ""
    assert _lost(Message("%(num)s open", "")) == "'%(num)s open': no translation"
