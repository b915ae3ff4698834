# shim
from nslib.datasets.debian import list_files as list_deb
from nslib.datasets.debian import read_files as read_deb
from nslib.datasets.debian import INNER_MARK as MARK
from nslib.datasets.debian import QUEEN as QUEEN
from nslib.datasets.debian import SKY as SKY
