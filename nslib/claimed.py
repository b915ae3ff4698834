# shim
from nslib.paper.claims import FAMILIES as FAMILIES
from nslib.paper.claims import FINE_TUNED as FINE_TUNED
from nslib.paper.claims import MINI as MINI
