# shim
from nslib.report.cards import make_model_card as make
