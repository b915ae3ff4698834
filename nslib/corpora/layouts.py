# shim
from nslib.datasets.layouts import name_recordings as name
from nslib.datasets.layouts import recordings_exist as exists
