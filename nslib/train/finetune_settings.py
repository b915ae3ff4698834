# shim
from nslib.training.settings import FinetuneSettings as FinetuneSettings
from nslib.training.settings import make_finetune_settings as make
from nslib.training.settings import tabulate_settings as table
