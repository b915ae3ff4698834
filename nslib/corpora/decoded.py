# shim
from nslib.datasets.clip_cache import AudioFacts as Facts
from nslib.datasets.clip_cache import read_audio_facts as facts
