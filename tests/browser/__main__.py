"""`python -m tests.browser MODULE ARGUMENT ...`: call main() of a module here with Django set up; prints JSON."""

from __future__ import annotations

import importlib
import json
import sys

import django

if __name__ == "__main__":
    django.setup()
    module = importlib.import_module(f"tests.browser.{sys.argv[1]}")
    print(json.dumps(module.main(*sys.argv[2:])))
