# shim
from nslib.evaluation.classifiers import PROBES as PROBES
from nslib.evaluation.probe import Grid as Grid
from nslib.evaluation.probe import LabelledVectors as Split
from nslib.evaluation.probe import grid as grid
from nslib.evaluation.probe import score_fits as scored
