# shim
from nslib.report.reproduce import prepare_inputs as prepare
from nslib.report.reproduce import reproduce_all as run
