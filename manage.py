#!/usr/bin/env python
"""Hone's command line. What a person can put right by hand is told in one sentence, not in a traceback."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    except OperationalError as error:
        found = str(error).strip().splitlines()[0]
        sys.exit(f"Database: {found}; `manage.py doctor` checks what is needed")
