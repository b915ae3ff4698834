# shim
from nslib.embeddings.checkpoint import load_weights as load_weights
from nslib.embeddings.checkpoint import read_arrays as read
from nslib.embeddings.checkpoint import save_weights as save_weights
from nslib.embeddings.checkpoint import copy_values as values
from nslib.embeddings.checkpoint import assign_values as assign
from nslib.embeddings.checkpoint import write_arrays as write
