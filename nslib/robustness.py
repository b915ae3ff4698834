# shim
from nslib.evaluation.robustness import SMOKE_CONDITIONS as SMOKE
from nslib.evaluation.robustness import choose_cheapest_task as cheapest
from nslib.evaluation.robustness import load_curves as load
from nslib.evaluation.robustness import measure_curves as curves
