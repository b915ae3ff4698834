# shim
from nslib.extraction.devices import DEVICES_VARIABLE as VARIABLE
from nslib.extraction.devices import Replica as Replica
from nslib.extraction.devices import choose_devices as chosen
from nslib.extraction.devices import list_devices as present
from nslib.extraction.devices import load_replicas as replicas
