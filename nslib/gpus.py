# shim
from nslib.extraction.devices import GPU_LOCK as LOCK
from nslib.extraction.devices import Gpu as Gpu
from nslib.extraction.devices import is_cuda_supported as supported
from nslib.extraction.devices import list_gpus as listed
