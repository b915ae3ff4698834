# shim
from nslib.training.data import load_audio as audio
