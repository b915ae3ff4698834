# shim
from nslib.evaluation.results import selected as selected
from nslib.evaluation.results import table as table
