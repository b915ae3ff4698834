# shim
from nslib.teaching.workshop import read_chapters as chapters
