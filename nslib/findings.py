# shim
from nslib.evaluation.results import Results as Results
from nslib.evaluation.results import ResultsBuilder as Found
