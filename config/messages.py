"""The texts of every page in the languages of `LANGUAGES`: collected, merged and compiled by `make messages`.

Babel reads and writes the files, so that no GNU gettext is needed; only those who change a text need Babel.
English stands in the sources. The compiled .mo files are committed: what runs Hone reads them and needs no Babel.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

from config.settings import BASE_DIR, LANGUAGE_CODE, LANGUAGES, LOCALE_PATHS

SOURCES = {  # by domain: Django looks texts of scripts up in a catalog of their own
    "django": ("annotate/**/*.py", "config/**/*.py", "rlhf/**/*.py", "templates/**/*.html"),
    "djangojs": ("static/**/*.js",),
}
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "gettext": None, "gettext_lazy": None, "gettext_noop": None, "_": None,
    "ngettext": (1, 2), "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2), "pgettext_lazy": ((1, "c"), 2),
}  # fmt: skip
WIDTH = 120


def translated() -> list[str]:
    """The languages that need a translation."""
    return [code for code, _ in LANGUAGES if code != LANGUAGE_CODE]


def po_path(*, language: str, domain: str) -> Path:
    return Path(LOCALE_PATHS[0]) / to_locale(language) / "LC_MESSAGES" / f"{domain}.po"


def collected(*, domain: str) -> Catalog:
    """Every text of the sources, without translations."""
    found = Catalog()
    for pattern in SOURCES[domain]:
        for path in sorted(BASE_DIR.glob(pattern)):
            name = str(path.relative_to(BASE_DIR))
            for line, text, comments, context in _texts(path):
                found.add(text, None, [(name, line)], auto_comments=comments, context=context)
    return found


def stored(*, language: str, domain: str) -> Catalog:
    """What the .po file has; an empty catalog where there is none yet."""
    path = po_path(language=language, domain=domain)
    if not path.exists():
        return Catalog(locale=to_locale(language))
    with path.open("rb") as file:
        return read_po(file, locale=to_locale(language), domain=domain)


def merged(*, language: str, domain: str) -> Catalog:
    """The texts of the sources with the translations that are stored; what is no longer in the sources goes."""
    catalog, template = stored(language=language, domain=domain), collected(domain=domain)
    template.creation_date = catalog.creation_date  # else each run would change the file
    catalog.update(template, no_fuzzy_matching=True, update_header_comment=False)
    catalog.project, catalog.msgid_bugs_address, catalog.fuzzy = "Hone", "", False
    catalog.last_translator = catalog.language_team = ""
    catalog.header_comment = f"# Hone's texts in {language}. `make messages` adds what is new and compiles."
    return catalog


def compiled(catalog: Catalog) -> bytes:
    """The .mo file. Texts that have no translation are left out and show in English."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> None:
    for language in translated():
        for domain in SOURCES:
            catalog = merged(language=language, domain=domain)
            path = po_path(language=language, domain=domain)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                write_po(file, catalog, width=WIDTH, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
            path.with_suffix(".mo").write_bytes(compiled(catalog))
            left = [message.id for message in catalog if message.id and not _has_text(message.string)]
            print(f"{path.relative_to(BASE_DIR)}: {len(catalog)} texts, {len(left)} without a translation")


def _texts(path: Path) -> Iterator[tuple[int, str | tuple[str, ...], list[str], str | None]]:
    source, method = path.read_text(), "javascript" if path.suffix == ".js" else "python"
    if path.suffix == ".html":
        # Django makes calls of gettext between blanked out words of it; Python takes no indentation there.
        source = "\n".join(line.lstrip() for line in templatize(source, origin=str(path)).split("\n"))
    return extract(
        method, io.BytesIO(source.encode()), KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    )


def _has_text(translation: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(translation) and all(translation or ())


if __name__ == "__main__":
    main()
