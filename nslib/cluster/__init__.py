# shim
from nslib.extraction.cluster import Engine as Engine
from nslib.extraction.cluster import connect as connect
