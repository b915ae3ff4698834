"""What the paper reports and claims, and what a run says to it.

published  the published numbers with their status, and verdicts on ours beside them: every kind of verdict
claims     the paper's claims, tested by paired differences on whatever tasks a run has
"""

from nslib.paper.claims import judge_claims, summarise_claims
from nslib.paper.published import compare_table_1, count_clips, judge_results, keep_compared, load_numbers, show_table

__all__ = ["compare_table_1", "count_clips", "judge_claims", "judge_results", "keep_compared", "load_numbers",
           "show_table", "summarise_claims"]
