# shim
from nslib.evaluation.probe import LabelledVectors as Split
from nslib.evaluation.probe import check_splits as checked
