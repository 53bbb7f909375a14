"""An `estimate` run: verdicts in, win rates with intervals out. Needs no torch."""
