# shim
from nslib.training.classifier import fit_and_export as fit_and_export
