# shim
from nslib.teaching.colab import ARCHIVE as ARCHIVE
from nslib.teaching.colab import pack_kit as archive
from nslib.teaching.colab import read_address as address
from nslib.teaching.colab import refresh_notebooks as refresh
