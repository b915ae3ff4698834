# shim
from nslib.training.export import export_litert as litert
from nslib.training.export import export_saved_model as saved_model
