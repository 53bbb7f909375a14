"""Measurements of Hone: each module's opening says what it measures and with which command."""
