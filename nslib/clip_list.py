# shim
from nslib.evaluation.tfrecords import CLIP_LIST_COLUMNS as COLUMNS
from nslib.evaluation.tfrecords import list_clips as make
from nslib.evaluation.tfrecords import write_clip_audio as write_audio
