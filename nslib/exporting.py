# shim
from nslib.evaluation.tfrecords import export_vectors as export
