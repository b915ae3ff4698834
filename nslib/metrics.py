# shim
from nslib.statistics.intervals import LEVEL as LEVEL
from nslib.statistics.intervals import Interval as Interval
from nslib.statistics.intervals import interval as interval
from nslib.statistics.comparisons import difference as difference
from nslib.statistics.scores import METRICS as METRICS
from nslib.statistics.scores import Metric as Metric
from nslib.statistics.scores import accuracy as accuracy
from nslib.statistics.scores import auc as auc
from nslib.statistics.scores import balanced_accuracy as balanced_accuracy
from nslib.statistics.scores import chance as chance
from nslib.statistics.scores import dprime as dprime
from nslib.statistics.scores import dprime_ovo as dprime_ovo
from nslib.statistics.scores import equal_error_rate as equal_error_rate
from nslib.statistics.scores import f1_weighted as f1_weighted
from nslib.statistics.scores import get_metric as get
from nslib.statistics.scores import score as score
