# shim
from nslib.embeddings.networks import count_tap_cost as of_tap
from nslib.embeddings.networks import cut_at_tap as up_to
from nslib.train import models as models
