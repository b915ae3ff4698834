# shim
from nslib.evaluation.lda import ShrinkageLDA as ShrinkageLDA
