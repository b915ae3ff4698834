# shim
from nslib.paper.published import VERDICTS as VERDICTS
