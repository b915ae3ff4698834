# shim
from nslib.teaching.check import CheckFailed as CheckFailed
from nslib.teaching.check import check as check
