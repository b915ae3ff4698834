# shim
from nslib.training.data import AudioBank as Recordings
from nslib.training.data import round_to_int16 as pcm
