# shim
from nslib.config import client_environment as client_environment
from nslib.config import hash_file as file_sha256
from nslib.config import run_client as run_client
from nslib.config import write_file as write
