# shim
from nslib.embeddings.networks import WEIGHT_FILES as FILES
from nslib.embeddings.networks import read_curve as curve
from nslib.embeddings.networks import network_folder as folder
from nslib.embeddings.networks import load_network as load
from nslib.embeddings.networks import list_trained as names
from nslib.embeddings.networks import load_network_file as of_file
from nslib.embeddings.networks import read_settings as settings
