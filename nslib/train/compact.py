# shim
from nslib.embeddings.tflite import FORMS as FORMS
from nslib.embeddings.tflite import convert_network as convert
from nslib.embeddings.tflite import open_network as runner
from nslib.training.distill import compare_forms as compare
from nslib.training.distill import name_machine as machine
