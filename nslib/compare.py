# shim
from nslib.report.compare import compare_reports as compare
