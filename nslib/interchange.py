# shim
from nslib.evaluation.tfrecords import BadRecord as BadRecord
from nslib.evaluation.tfrecords import VectorTable as Table
from nslib.evaluation.tfrecords import read_tfrecords as read
from nslib.evaluation.tfrecords import split_for_probes as benchmark_splits
from nslib.evaluation.tfrecords import write_tfrecords as write
