# shim
from nslib.embeddings.pretrained import load_builtin as load
from nslib.embeddings.pretrained import open_onnx as session
