# shim
from nslib.datasets.card import DataCard as Card
from nslib.datasets.card import make_data_card as make
