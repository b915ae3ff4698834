# shim
from nslib.evaluation.robustness import CLEAN as CLEAN
from nslib.evaluation.robustness import GAIN as GAIN
from nslib.evaluation.robustness import SHAPED as SHAPED
from nslib.evaluation.robustness import TELEPHONE as TELEPHONE
from nslib.evaluation.robustness import TELEPHONE_RATE as RATE
from nslib.evaluation.robustness import UNITS as UNITS
from nslib.evaluation.robustness import WHITE as WHITE
