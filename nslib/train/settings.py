# shim
from nslib.training.settings import make_training_settings as make
from nslib.training.settings import tabulate_settings as table
from nslib.training.settings import MINING as MINING
from nslib.training.settings import STATUSES as STATUSES
from nslib.training.settings import TrainingSettings as Settings
from nslib.training.settings import TripletSettings as TripletSettings
