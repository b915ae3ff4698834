# shim
from nslib.paper.claims import HOLDS as HOLDS
from nslib.paper.claims import MARGIN as MARGIN
from nslib.paper.claims import NOT_RUN as NOT_RUN
from nslib.paper.claims import REFUTED as REFUTED
from nslib.paper.claims import UNDECIDED as UNDECIDED
from nslib.paper.claims import VERDICTS as VERDICTS
from nslib.paper.claims import format_part as said
from nslib.paper.claims import judge_claims as evaluate
from nslib.paper.claims import summarise_claims as overall
