# shim
from nslib.evaluation.results import find_table as find
from nslib.evaluation.results import read_table as read
from nslib.evaluation.results import table_path as place
from nslib.evaluation.results import write_table as write
