# shim
from nslib.embeddings.networks import STUDENTS as STUDENTS
from nslib.embeddings.networks import build_network as named
from nslib.embeddings.networks import parse_student as parse
