"""What an overview of many verdicts costs."""
