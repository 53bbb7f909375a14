"""Django's SQLite with a queue for writers (base.py)."""
