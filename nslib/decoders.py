# shim
from nslib.audio import decode as decode
