"""Hone's settings: one file, environment only (config/environment.py), defaults that run on a laptop."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.urls import reverse_lazy

from config.environment import database, environment, secret_key, socket_folder

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment()

VAR = env.folder("HONE_VAR", BASE_DIR / "var")
STORAGE = Path(env.text("HONE_STORAGE", str(VAR / "storage"))).resolve()
RUNS_ROOT = VAR / "runs"
BASE_MODEL = env.text("HONE_BASE_MODEL")
RUN_STALE_S = env.seconds("HONE_RUN_STALE_S", 15.0)  # without a heartbeat a run is taken from its worker
DEVICE = env.choice("HONE_DEVICE", ("auto", "cpu", "cuda"))

SECRET_KEY = env.text("HONE_SECRET_KEY") or secret_key(VAR / "secret_key")
DEBUG = env.flag("HONE_DEBUG")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.names("HONE_ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = env.names("HONE_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    "rlhf",
    "annotate",
    "workers",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.policy.AdminPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "rlhf.errors.RefusalPages",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "rlhf.navigation.navigation",
            ]
        },
    }
]

DATABASES = {"default": database(env.text("DATABASE_URL"), VAR / "hone.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
KNOX_TOKEN_MODEL = "rlhf.ProjectToken"  # noqa: S105 (the name of a model)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = reverse_lazy("home")
LOGOUT_REDIRECT_URL = reverse_lazy("login")
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "Simplified Chinese")]  # one more: docs/labeling.md
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"  # of collectstatic; without it whitenoise finds the files where they are
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/d3", BASE_DIR / "node_modules" / "d3" / "dist"),
    ("vendor/diff", BASE_DIR / "node_modules" / "diff" / "dist"),
    ("vendor/plot", BASE_DIR / "node_modules" / "@observablehq" / "plot" / "dist"),
    ("vendor/sortablejs", BASE_DIR / "node_modules" / "sortablejs"),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": STORAGE}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# The admin's pages (django-unfold) use Alpine, which needs eval; config/policy.py puts this policy on /admin/ alone.
ADMIN_CONTENT_SECURITY_POLICY = {
    "default-src": [SELF],
    "script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "rlhf.paging.IdCursorPagination",
    "EXCEPTION_HANDLER": "rlhf.errors.exception_handler",
    "PAGE_SIZE": 100,
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=90), "AUTH_HEADER_PREFIX": "Token", "TOKEN_PREFIX": "hone_"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Hone",
    "DESCRIPTION": "Labeling, datasets, runs, versions and evaluations.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}

SOCKETS = socket_folder(VAR)
OWN_REDIS_URL = f"unix://{SOCKETS / 'valkey.sock'}"  # of the Valkey that Hone starts for itself
REDIS_URL = env.text("REDIS_URL") or OWN_REDIS_URL
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)

BLUE = {  # the accent of static/app.css, in the admin's scale
    "50": "oklch(97% .014 254.6)", "100": "oklch(93.2% .032 255.6)", "200": "oklch(88.2% .059 254.1)",
    "300": "oklch(80.9% .105 251.8)", "400": "oklch(70.7% .165 254.6)", "500": "oklch(62.3% .214 259.8)",
    "600": "oklch(54.6% .215 261)", "700": "oklch(48.8% .2 262)", "800": "oklch(42.4% .17 263)",
    "900": "oklch(37.9% .146 265.5)", "950": "oklch(28.2% .091 267.9)",
}  # fmt: skip
UNFOLD = {
    "SITE_TITLE": "Hone",
    "SITE_HEADER": "Hone",
    "SITE_SYMBOL": "tune",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: f"/{STATIC_URL.strip('/')}/icon.svg"}
    ],
    "STYLES": [lambda _request: f"/{STATIC_URL.strip('/')}/admin.css"],
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {"primary": BLUE},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"httpx": {"level": "WARNING"}},  # it logs every request
}
