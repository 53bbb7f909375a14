"""The demo: a world of its own, simulated labelers who work over HTTP, and a terminal view of the loop turning."""
