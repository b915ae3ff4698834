# shim
from nslib.evaluation.probe import Fit as Fit
from nslib.evaluation.probe import FitSettings as Wanted
from nslib.evaluation.probe import Mapper as Mapper
from nslib.evaluation.probe import ProbeTask as Task
from nslib.evaluation.probe import fit_probe as fit_one
from nslib.evaluation.probe import fit_probes as fit_all
