# shim
from nslib.report.verify import format_checks as text
from nslib.report.verify import verify_report as verify
