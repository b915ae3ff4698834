# shim
from nslib.training.data import load_folder as recordings
