"""The demo world: a small language, people with taste, and a model small enough to learn both in a minute.

Nothing here touches the database; `manage.py demo` and `benchmarks/demo_recipe.py` are the two callers.
"""
