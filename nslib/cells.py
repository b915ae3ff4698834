# shim
from nslib.report.tables import write_command as command
