# shim
from nslib.extraction.precomputed import Precomputed as Precomputed
from nslib.extraction.precomputed import is_vector_file as is_file
from nslib.extraction.precomputed import read_vectors as read
