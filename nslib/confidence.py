# shim
from nslib.evaluation.confidence import COLUMNS as COLUMNS
from nslib.evaluation.confidence import find_confidence as find
from nslib.evaluation.confidence import load_confidence as load
from nslib.evaluation.confidence import measure_confidence as of
