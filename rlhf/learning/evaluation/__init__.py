"""From frozen verdicts to the document that every page of an evaluation shows (docs/evaluation.md)."""
