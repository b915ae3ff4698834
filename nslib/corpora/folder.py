# shim
from nslib.datasets.folder import read_recordings as read
