# shim
from nslib.training.trainer import make_triplet_learner as Learner
from nslib.training.trainer import use_deterministic_operations as deterministic
