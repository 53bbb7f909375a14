"""Losses written a second time, in float64 NumPy, from the papers and pair by pair: what the fast ones must equal."""
