# shim
from nslib.datasets.debian import decode_audio as decode
