# shim
from nslib.evaluation.classifiers import CLASSIFIERS as CLASSIFIERS
from nslib.evaluation.classifiers import IN_FLOAT32 as IN_FLOAT32
from nslib.evaluation.classifiers import PROBES as PROBES
from nslib.evaluation.classifiers import l2_normalise as l2_normalise
from nslib.evaluation.classifiers import normalise as normalised
from nslib.evaluation.classifiers import speaker_normalise as speaker_normalise
