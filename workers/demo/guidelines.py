"""What the demo asks of its labelers, in the words that the labeling page shows."""

from annotate.models import Protocol

_GOOD = """**A good answer**

- does what was asked, with the very words asked for,
- is polite,
- adds a useful detail or two,
- does not repeat itself, and stops in time.
"""

TEXT = {
    Protocol.Kind.DEMONSTRATE: f"Write the answer that you would like to get.\n\n{_GOOD}",
    Protocol.Kind.RANK: f"Put the best answer first. Equal answers share a rank.\n\n{_GOOD}",
    Protocol.Kind.COMPARE: f"Choose the better of two answers, or call it a tie.\n\n{_GOOD}",
}
