# shim
from nslib.statistics.effects import Regression as Regression
from nslib.statistics.effects import regress as regress
