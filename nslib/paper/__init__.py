"""What the paper reports and claims, and what a run says to it.

published  the published numbers with their status, and verdicts on ours beside them
claims     the paper's claims, tested by paired differences on whatever tasks a run has
"""

__all__: list[str] = []
