"""Statistics of the loop: rates, intervals, agreement. numpy and scipy only; no torch, no Django."""
