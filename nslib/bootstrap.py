# shim
from nslib.statistics.intervals import Difference as Difference
from nslib.statistics.intervals import Interval as Interval
from nslib.statistics.intervals import LEVEL as LEVEL
from nslib.statistics.intervals import MIN_SPEAKERS as MIN_SPEAKERS
from nslib.statistics.intervals import RESAMPLES as RESAMPLES
from nslib.statistics.intervals import Units as Units
from nslib.statistics.intervals import bounds as bounds
from nslib.statistics.intervals import check_level as refuse_bad_level
from nslib.statistics.intervals import speaker_units as speakers
