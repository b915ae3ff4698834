# shim
from nslib.evaluation.results import PREDICTIONS as PREDICTIONS
from nslib.evaluation.results import ROWS as ROWS
from nslib.evaluation.results import add_origin as complete
from nslib.evaluation.results import describe_columns as schema
from nslib.evaluation.results import export_rows as export
from nslib.evaluation.results import find_result as find
from nslib.evaluation.results import join_tables as join
from nslib.evaluation.results import load_results as load
from nslib.evaluation.results import make_key as key
from nslib.evaluation.results import save_result as save
from nslib.evaluation.results import selected as selected
from nslib.evaluation.results import table as table
