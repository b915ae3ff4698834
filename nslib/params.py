# shim
from nslib.config import CHOICES as CHOICES
from nslib.config import Params as Params
from nslib.config import cache_dir as cache_dir
from nslib.config import data_dir as data_dir
from nslib.config import hub_url as hub_url
from nslib.config import load_params as load
from nslib.config import manual_dir as manual_dir
from nslib.config import models_dir as models_dir
from nslib.config import notebooks_dir as notebooks_dir
from nslib.config import offline as offline
from nslib.config import reports_dir as reports_dir
from nslib.config import root as root
from nslib.config import tfds_dir as tfds_dir
