# shim
from nslib.embeddings.networks import NetworkCost as Cost
from nslib.embeddings.networks import count_cost as cost
