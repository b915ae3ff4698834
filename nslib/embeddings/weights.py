# shim
from nslib.embeddings.pretrained import read_card_weights as read
