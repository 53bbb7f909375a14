"""What the web process may load, and the direction in which rows may point."""

import os
import subprocess
import sys
from pathlib import Path

from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "scipy", "statsmodels", "pandas", "pyarrow", "sklearn", "evalica", "celery")
FLOORS = {"rlhf": 1, "annotate": 2, "workers": 3}
LOAD_EVERYTHING = f"""
import sys
from config.wsgi import application
from django.urls import get_resolver
from django.template.loader import get_template
get_resolver().url_patterns
get_template("rlhf/overview.html")
print(*sorted(name for name in {HEAVY} if name in sys.modules))
"""


def test_the_web_process_loads_nothing_heavy(tmp_path):
    environment = {**os.environ, "HONE_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_EVERYTHING], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_no_row_points_to_a_floor_above_its_own():
    up = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and field.related_model is not None
        if FLOORS.get(field.related_model._meta.app_label, 0) > FLOORS.get(model._meta.app_label, 0)
    ]
    assert up == []


def test_every_row_reaches_its_project_by_a_key_that_is_never_null():
    def reaches(model, seen=()) -> bool:
        if model._meta.label == "rlhf.Project":
            return True
        keys = [f for f in model._meta.concrete_fields if f.is_relation and not f.null]
        return any(reaches(f.related_model, (*seen, model)) for f in keys if f.related_model not in (*seen, model))

    own = [model for app in FLOORS for model in apps.get_app_config(app).get_models()]
    assert [model._meta.label for model in own if not reaches(model)] == []
