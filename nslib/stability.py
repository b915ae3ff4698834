# shim
from nslib.statistics.intervals import SPREADS as TABLE
from nslib.statistics.intervals import scores_of_splits as splits
from nslib.statistics.intervals import spread_over_splits as table
