# shim
from nslib.statistics.calibration import BINS as BINS
from nslib.statistics.calibration import assign_bins as binned
from nslib.statistics.calibration import calibration_errors as errors
from nslib.statistics.calibration import reliability_table as table
