"""The interface's language: a person's choice in a cookie, else what the browser asks for, else English.

The texts of the scripts are one file per language, with a hash of its content in the address: a browser keeps it.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_GET, require_POST
from django.views.i18n import JavaScriptCatalog, set_language

YEAR_S = 365 * 24 * 3600

choose = login_not_required(require_POST(set_language))


@login_not_required
@require_GET
def script_texts(request: HttpRequest, language: str, digest: str) -> HttpResponse:
    """What `gettext` of the scripts looks up. An address of another release gets today's texts, not to be kept."""
    if language not in dict(settings.LANGUAGES):
        raise Http404(f"no language {language}")
    content, known_digest = _rendered(language)
    response = HttpResponse(content, content_type='text/javascript; charset="utf-8"')
    if digest == known_digest:
        patch_cache_control(response, public=True, immutable=True, max_age=YEAR_S)
    else:
        patch_cache_control(response, no_cache=True)
    return response


def script_texts_url(language: str) -> str:
    return reverse("script-texts", kwargs={"language": language, "digest": _rendered(language)[1]})


@cache
def _rendered(language: str) -> tuple[bytes, str]:
    with translation.override(language):
        # An app without texts of its own: LOCALE_PATHS alone, not the admin's catalog.
        content = JavaScriptCatalog(packages=["annotate"]).get(HttpRequest()).content
    return content, sha256(content).hexdigest()[:16]
