# shim
from nslib.training.settings import make_distillation_settings as make
from nslib.training.settings import tabulate_settings as table
