"""What a labeler's round trip costs the server: `python -m benchmarks.labeling` (see __main__.py)."""
