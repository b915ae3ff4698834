# shim
from nslib.evaluation.probe import FitSettings as Wanted
from nslib.evaluation.classifiers import find_same_fits as same_fits
