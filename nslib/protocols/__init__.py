# shim
from nslib.evaluation.protocols import BY_CLIP as CARELESS
from nslib.evaluation.protocols import REPEATED as REPEATED
from nslib.evaluation.protocols import SWITCH as SWITCH
from nslib.evaluation.protocols import WITHIN_SPEAKER as WITHIN
from nslib.evaluation.protocols import ProtocolResults as ProtocolResults
from nslib.evaluation.protocols import average_by_speaker as by_speaker
from nslib.evaluation.protocols import load_protocols as load
from nslib.evaluation.protocols import run_protocol as run
from nslib.evaluation.protocols import run_repeated as repeated
from nslib.evaluation.protocols import run_switch as switch
from nslib.evaluation.protocols import run_within_speaker as within_speaker
from nslib.evaluation.protocols import summarise as summary
