# shim
from nslib.training.trainer import TripletLearner as Learner
from nslib.training.trainer import use_deterministic_operations as deterministic
