# shim
from nslib.paper.published import compare_table_1 as table1
from nslib.paper.published import count_clips as measured
from nslib.paper.published import judge_results as verdicts
from nslib.paper.published import keep_compared as numeric
from nslib.paper.published import list_numbers as listing
from nslib.paper.published import load_numbers as load
from nslib.paper.published import load_sources as sources
from nslib.paper.published import show_table as grid
