# shim
from nslib.datasets.table import COLUMNS as COLUMNS
from nslib.datasets.table import PROBLEM_COLUMNS as PROBLEM_COLUMNS
from nslib.datasets.table import Dataset as Corpus
from nslib.datasets.table import limit_clips as limit
from nslib.datasets.table import make_dataset as make
